// Reports an indicator, waits until the report is final, and prints what the chain made of it.

import { Keyring } from '@polkadot/api';
import {
	Refusal, action, connect, deadline, endpoint, host, indicatorText, kebab, network, options, pascal, run, seconds, secretFrom,
	wholeNumber,
} from './common.mjs';

const USAGE = `usage: node report.mjs (--host ADDRESS | --network ADDRESS/PREFIX | --endpoint PROTOCOL:ADDRESS:PORT) [options]

  --url URL              the node's websocket (ws://127.0.0.1:9944)
  --uri SECRET           a secret phrase, a seed or a development account (//Researcher)
  --key-file FILE        read it from the first line of a file instead: other users can see a command line
  --threat CLASS         scan, brute-force, exploit, malware, botnet, command-and-control, denial-of-service,
                         amplification, phishing, spam or other (other)
  --severity LEVEL       low, medium, high or critical (medium)
  --confidence PERCENT   how sure you are, 0 to 100 (80)
  --direction WAY        inbound, outbound or both (both)
  --action ACTION        drop, watch or rate-limit=PACKETS_PER_SECOND (drop)
  --tlp MARKING          clear, green, amber or amber+strict (green)
  --lifetime DURATION    1m to 30d, counted from activation (24h)
  --evidence HASH        BLAKE2b-256 of evidence that you keep, 0x and 64 digits
  --note TEXT            a remark for those who vote, at most 128 bytes
  --timeout SECONDS      give up after this long (60)
  --json                 print one JSON object instead of text

Exit code: 0 when the report is final and was accepted, 1 otherwise.`;

function indicatorOf(values) {
	const given = [['host', host], ['network', network], ['endpoint', endpoint]].filter(([name]) => values[name] !== undefined);
	if (given.length !== 1) {
		throw new Refusal(`exactly one of --host, --network and --endpoint is needed\n\n${USAGE}`);
	}
	const [[name, read]] = given;
	return read(`--${name}`, values[name]);
}

function termsOf(values) {
	const note = Buffer.from(values.note, 'utf8');
	if (note.length > 128) {
		throw new Refusal('--note: at most 128 bytes');
	}
	if (values.evidence !== undefined && !/^0x[0-9a-f]{64}$/i.test(values.evidence)) {
		throw new Refusal('--evidence: expected 0x and 64 hexadecimal digits');
	}
	const lifetime = seconds('--lifetime', values.lifetime);
	if (lifetime < 60 || lifetime > 2_592_000) {
		throw new Refusal('--lifetime: one minute to thirty days');
	}
	return {
		threat: pascal(values.threat),
		severity: pascal(values.severity),
		confidence: wholeNumber('--confidence', values.confidence, 0, 100),
		direction: pascal(values.direction),
		action: action('--action', values.action),
		tlp: pascal(values.tlp),
		lifetime,
		evidence: values.evidence ?? null,
		note: `0x${note.toString('hex')}`,
	};
}

/** Name and documentation of a dispatch error. */
function refusalText(api, error) {
	if (error.isModule) {
		const { section, name, docs } = api.registry.findMetaError(error.asModule);
		return `${section}.${name}: ${docs.join(' ').trim()}`;
	}
	return error.toString();
}

// What the chain's door says, by the numbers in `pallet_tiers::Refusal` and the runtime's `UNBLOCKABLE`.
const DOOR = {
	'Custom error: 1': 'the account is not an active member (or its ISP is not)',
	'Custom error: 2': 'the transaction is not signed',
	'Custom error: 3': 'the transaction would be valid for ever',
	'Custom error: 4': 'the transaction says more than the account may say in a minute',
	'Custom error: 16': 'the indicator overlaps a protected network, or is too wide',
	'exhaust the block limits': 'the account has used up its quota for this minute',
};

function doorText(error) {
	const known = Object.entries(DOOR).find(([part]) => new RegExp(`${part}\\b`).test(error.message));
	return `refused at the door: ${known ? `${known[1]} (${error.message})` : error.message}`;
}

/** Sends the transaction and waits until it is final; throws when it cannot become so. */
function sendAndFinalize(tx, pair, clock, progress) {
	return new Promise((resolve, reject) => {
		tx.signAndSend(pair, { nonce: -1 }, (result) => {
			const { status } = result;
			if (status.isInBlock) {
				progress(`in block ${status.asInBlock.toHex()}`);
				clock.waitingFor = 'finality';
			} else if (status.isFinalized) {
				resolve({ result, block: status.asFinalized });
			} else if (status.isInvalid || status.isDropped || status.isUsurped || status.isFinalityTimeout) {
				reject(new Refusal(`the transaction will not become final: ${kebab(status.type)}`));
			}
			// The rest (ready, broadcast, retracted, future) pass; the deadline bounds them.
		}).catch((error) => reject(new Refusal(doorText(error))));
	});
}

await run(async () => {
	const text = (value) => ({ type: 'string', default: value });
	const values = options(USAGE, {
		url: text('ws://127.0.0.1:9944'), uri: text('//Researcher'), 'key-file': { type: 'string' },
		host: { type: 'string' }, network: { type: 'string' }, endpoint: { type: 'string' },
		threat: text('other'), severity: text('medium'), confidence: text('80'), direction: text('both'), action: text('drop'),
		tlp: text('green'), lifetime: text('24h'), evidence: { type: 'string' }, note: text(''),
		timeout: text('60'), json: { type: 'boolean', default: false },
	});
	const indicator = indicatorOf(values);
	const terms = termsOf(values);
	const secret = values['key-file'] === undefined ? values.uri : secretFrom(values['key-file']);
	const progress = values.json ? () => {} : console.log;

	const clock = deadline(values.timeout);
	const api = await connect(values.url);
	progress(`connected to ${api.runtimeChain}, ${api.runtimeVersion.specName} ${api.runtimeVersion.specVersion}`);

	let pair, tx;
	try {
		pair = new Keyring({ type: 'sr25519', ss58Format: api.registry.chainSS58 }).addFromUri(secret);
	} catch {
		throw new Refusal('the secret is neither a phrase nor a seed nor a development account');
	}
	try {
		tx = api.tx.indicators.report(indicator, terms);
	} catch (error) {
		throw new Refusal(`the chain's types do not allow this report: ${error.message}`);
	}
	const encoded = tx.args[0];
	const id = api.registry.hash(encoded.toU8a()).toHex();
	progress(`reporting ${indicatorText(encoded)} as ${pair.address}\nid ${id}`);

	clock.waitingFor = 'a block';
	const { result, block } = await sendAndFinalize(tx, pair, clock, progress);
	const header = await api.rpc.chain.getHeader(block);
	const events = result.events.map(({ event }) => ({
		name: `${event.section}.${event.method}`,
		data: event.data.names ? Object.fromEntries(event.data.names.map((name, at) => [name, event.data[at].toHuman()])) : event.data.toHuman(),
	}));
	const error = result.dispatchError ? refusalText(api, result.dispatchError) : null;
	const record = error ? null : (await (await api.at(block)).query.indicators.records(id)).unwrapOr(null);
	const status = record ? kebab(record.status.type) : null;

	if (values.json) {
		console.log(JSON.stringify({
			id, indicator: indicatorText(encoded), reporter: pair.address, block: { number: header.number.toNumber(), hash: block.toHex() },
			accepted: error === null, error, status, events,
		}));
	} else {
		console.log(`final in block #${header.number}, ${block.toHex()}`);
		for (const { name, data } of events) {
			console.log(`  ${name} ${JSON.stringify(data)}`);
		}
		if (status) {
			console.log(`the indicator is now ${status}`);
		}
	}
	if (error) {
		throw new Refusal(`refused by the chain: ${error}`);
	}
});
