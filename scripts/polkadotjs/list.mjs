// Lists the members and the active indicators, as of the newest final block.

import { actionText, connect, deadline, indicatorText, kebab, options, run, table } from './common.mjs';

const USAGE = `usage: node list.mjs [options]

  --url URL           the node's websocket (ws://127.0.0.1:9944)
  --all               also indicators that are only proposed or were rejected
  --timeout SECONDS   give up after this long (30)
  --json              print one JSON object instead of tables

Exit code: 0, or 1 when the node could not be asked.`;

function memberOf([{ args: [account] }, stored]) {
	const { role, status } = stored.unwrap();
	return {
		account: account.toString(),
		role: kebab(role.type),
		isp: role.type === 'Subscriber' ? role.inner.isp.toString() : null,
		status: kebab(status.type),
	};
}

function indicatorOf([{ args: [id] }, stored]) {
	const { indicator, terms, reporter, status, endsAt, confidence, dispute } = stored.unwrap();
	return {
		id: id.toHex(),
		indicator: indicatorText(indicator),
		status: kebab(status.type),
		threat: kebab(terms.threat.type),
		severity: kebab(terms.severity.type),
		disputed: dispute.type === 'Open',
		confidence: confidence.toNumber(),
		direction: kebab(terms.direction.type),
		action: actionText(terms.action),
		reporter: reporter.toString(),
		note: terms.note.toUtf8(),
		endsAt: new Date(endsAt.toNumber()).toISOString(),
	};
}

function remaining(until, now) {
	const left = Math.max(0, Math.round((Date.parse(until) - now) / 1000));
	const [days, hours, minutes] = [Math.floor(left / 86_400), Math.floor(left / 3600) % 24, Math.floor(left / 60) % 60];
	return days ? `${days}d ${hours}h` : hours ? `${hours}h ${minutes}m` : minutes ? `${minutes}m ${left % 60}s` : `${left}s`;
}

await run(async () => {
	const values = options(USAGE, {
		url: { type: 'string', default: 'ws://127.0.0.1:9944' },
		all: { type: 'boolean', default: false },
		timeout: { type: 'string', default: '30' },
		json: { type: 'boolean', default: false },
	});
	const clock = deadline(values.timeout);
	const api = await connect(values.url);
	clock.waitingFor = 'answers';

	const hash = await api.rpc.chain.getFinalizedHead();
	const [header, state] = await Promise.all([api.rpc.chain.getHeader(hash), api.at(hash)]);
	const [members, records, leader, now] = await Promise.all([
		state.query.tiers.members.entries(),
		state.query.indicators.records.entries(),
		state.query.tiers.leader(),
		state.query.timestamp.now(),
	]);
	const leading = leader.isSome === undefined ? leader.toString() : leader.isSome ? leader.unwrap().toString() : null;
	const rank = ['isp', 'subscriber', 'researcher'];
	const people = members.map(memberOf).sort((a, b) => rank.indexOf(a.role) - rank.indexOf(b.role) || a.account.localeCompare(b.account));
	const indicators = records.map(indicatorOf)
		.filter(({ status }) => values.all || status === 'active' || status === 'provisional')
		.sort((a, b) => a.endsAt.localeCompare(b.endsAt));

	if (values.json) {
		const block = { number: header.number.toNumber(), hash: hash.toHex() };
		console.log(JSON.stringify({ chain: api.runtimeChain.toString(), block, leader: leading, members: people, indicators }));
		return;
	}
	console.log(`${api.runtimeChain}, final block #${header.number}\n`);
	console.log(table(
		['ACCOUNT', 'ROLE', 'STATUS', 'ISP'],
		people.map(({ account, role, status, isp }) => [account, account === leading ? `${role}, leader` : role, status, isp ?? '']),
	));
	console.log();
	if (indicators.length === 0) {
		console.log(values.all ? 'no indicators' : 'no active indicators');
		return;
	}
	console.log(table(
		['INDICATOR', 'STATUS', 'ACTION', 'DIRECTION', 'THREAT', 'SEVERITY', 'SURE', 'ENDS IN', 'REPORTER'],
		indicators.map((entry) => [
			entry.indicator, entry.disputed ? `${entry.status}, disputed` : entry.status, entry.action, entry.direction, entry.threat, entry.severity, `${entry.confidence} %`,
			remaining(entry.endsAt, now.toNumber()), entry.reporter,
		]),
	));
});
