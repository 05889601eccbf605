// What both scripts share: connecting, reading indicators from the command line and writing them out again.
//
// Everything about the chain comes from its own metadata: no types, RPCs or extensions are declared here.

import { readFileSync } from 'node:fs';
import { isIPv4, isIPv6 } from 'node:net';
import { parseArgs } from 'node:util';
import { ApiPromise, WsProvider } from '@polkadot/api';

/** A mistake in the command line or a refusal by the chain: shown without a stack trace. */
export class Refusal extends Error {}

/** Parses the command line; prints `usage` and leaves for `--help`. */
export function options(usage, known) {
	let values;
	try {
		({ values } = parseArgs({ options: { help: { type: 'boolean', short: 'h' }, ...known }, strict: true }));
	} catch (error) {
		throw new Refusal(`${error.message}\n\n${usage}`);
	}
	if (values.help) {
		console.log(usage);
		process.exit(0);
	}
	return values;
}

/** Runs `main`; exit code 0 when it returns, 1 when it throws. */
export async function run(main) {
	let code = 0;
	try {
		await main();
	} catch (error) {
		console.error(error instanceof Refusal ? error.message : (error?.stack ?? String(error)));
		code = 1;
	}
	// polkadot.js may still hold timers and a socket.
	process.exit(code);
}

/** Ends the process with code 1 after `seconds`, saying what was being waited for. */
export function deadline(seconds) {
	const limit = wholeNumber('--timeout', seconds, 1, 86_400);
	const clock = { waitingFor: 'the node' };
	setTimeout(() => {
		console.error(`gave up after ${limit} s, waiting for ${clock.waitingFor}`);
		process.exit(1);
	}, limit * 1000).unref();
	return clock;
}

/** Connects to a node. */
export async function connect(url) {
	let provider;
	try {
		provider = new WsProvider(url, false);
	} catch (error) {
		throw new Refusal(`${url}: ${error.message}`);
	}
	// Without this, polkadot.js reports a failed connection on the console and waits for ever.
	const failed = new Promise((_, reject) => {
		provider.on('error', () => reject(new Refusal(`cannot connect to ${url}`)));
	});
	const connected = new Promise((resolve) => provider.on('connected', resolve));
	await Promise.race([Promise.all([provider.connect(), connected]), failed]);
	failed.catch(() => {});
	// The transaction extension CheckMember carries no data, so polkadot.js may treat it as having no effect, silently.
	return ApiPromise.create({ provider, noInitWarn: true });
}

/** A whole number from `least` to `most`. */
export function wholeNumber(name, text, least, most) {
	const number = Number(text);
	if (!/^\d+$/.test(String(text)) || number < least || number > most) {
		throw new Refusal(`${name}: expected a whole number from ${least} to ${most}, got '${text}'`);
	}
	return number;
}

/** Seconds in a duration such as 90s, 10m, 24h or 7d. */
export function seconds(name, text) {
	const [, digits, unit] = /^(\d+)([smhd])$/.exec(text) ?? [];
	if (digits === undefined) {
		throw new Refusal(`${name}: expected a duration such as 90s, 10m, 24h or 7d, got '${text}'`);
	}
	return Number(digits) * { s: 1, m: 60, h: 3600, d: 86_400 }[unit];
}

/** The secret in a key file: its first line. */
export function secretFrom(path) {
	return readFileSync(path, 'utf8').split('\n', 1)[0].trim();
}

/** 'brute-force' and 'amber+strict' as the chain's metadata spells them: 'BruteForce', 'AmberStrict'. */
export const pascal = (name) =>
	name.split(/[-+]/).map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('');

/** 'BruteForce' as people write it: 'brute-force'. */
export const kebab = (name) => name.replace(/([a-z0-9])([A-Z])/g, '$1-$2').toLowerCase();

const hex = (bytes) => `0x${Buffer.from(bytes).toString('hex')}`;

function addressBytes(name, text) {
	if (isIPv4(text)) {
		return text.split('.').map(Number);
	}
	if (isIPv6(text) && !text.includes('%')) {
		// The URL parser writes an address in its shortest form, with any dotted tail as hexadecimal.
		const [head, tail] = new URL(`http://[${text}]`).hostname.slice(1, -1).split('::').map((half) => half.split(':').filter(Boolean));
		const groups = tail === undefined ? head : [...head, ...Array(8 - head.length - tail.length).fill('0'), ...tail];
		return groups.flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 0xff]);
	}
	throw new Refusal(`${name}: '${text}' is not an IP address`);
}

const address = (bytes) => ({ [bytes.length === 4 ? 'V4' : 'V6']: hex(bytes) });

/** One address, as an indicator. */
export function host(name, text) {
	return { Host: address(addressBytes(name, text)) };
}

/** A network such as 198.18.7.0/24, as an indicator. Bits beyond the prefix are refused, as the chain would. */
export function network(name, text) {
	const [base, length, ...rest] = text.split('/');
	const bytes = addressBytes(name, base);
	if (length === undefined || rest.length > 0) {
		throw new Refusal(`${name}: expected ADDRESS/PREFIX, got '${text}'`);
	}
	const prefix = wholeNumber(`${name}: the prefix`, length, 0, bytes.length * 8);
	if (prefix === bytes.length * 8) {
		throw new Refusal(`${name}: ${text} is one address; use --host ${base}`);
	}
	const beyond = bytes.some((byte, index) => byte & (0xff >> Math.max(0, Math.min(8, prefix - index * 8))));
	if (beyond) {
		throw new Refusal(`${name}: ${text} has bits set beyond its prefix`);
	}
	return { Network: { address: address(bytes), prefix } };
}

/** A service such as tcp:198.18.7.7:23 or udp:[2001:db8::1]:53, as an indicator. */
export function endpoint(name, text) {
	const [, protocol, six, four, port] = /^(tcp|udp|sctp):(?:\[([^\]]*)\]|([^:]*)):(\d+)$/.exec(text) ?? [];
	if (protocol === undefined) {
		throw new Refusal(`${name}: expected PROTOCOL:ADDRESS:PORT with tcp, udp or sctp, got '${text}'`);
	}
	return {
		Endpoint: {
			address: address(addressBytes(name, six ?? four)),
			protocol: pascal(protocol),
			port: wholeNumber(`${name}: the port`, port, 1, 65_535),
		},
	};
}

/** drop, watch or rate-limit=PACKETS_PER_SECOND. */
export function action(name, text) {
	const [kind, rate] = text.split('=');
	if (kind === 'rate-limit') {
		return { RateLimit: wholeNumber(`${name}: the rate`, rate ?? '', 1, 10_000_000) };
	}
	return { [pascal(text)]: null };
}

function addressText(value) {
	const bytes = Buffer.from(value.inner.toU8a(true));
	if (value.type === 'V4') {
		return [...bytes].join('.');
	}
	const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2).toString(16));
	return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}

/** An indicator from the chain, as a person writes it. */
export function indicatorText(indicator) {
	const value = indicator.inner;
	switch (indicator.type) {
		case 'Host':
			return addressText(value);
		case 'Network':
			return `${addressText(value.address)}/${value.prefix}`;
		case 'Endpoint': {
			const text = addressText(value.address);
			return `${kebab(value.protocol.type)} ${value.address.type === 'V6' ? `[${text}]` : text}:${value.port}`;
		}
		default:
			return `${kebab(indicator.type)} ${JSON.stringify(value.toHuman())}`;
	}
}

/** An action from the chain, as a person writes it. */
export const actionText = (value) =>
	value.type === 'RateLimit' ? `rate-limit ${value.inner}/s` : kebab(value.type);

/** Lines up rows of text under their headings. */
export function table(headings, rows) {
	const widths = headings.map((heading, column) => Math.max(heading.length, ...rows.map((row) => row[column].length)));
	return [headings, ...rows]
		.map((row) => row.map((cell, column) => cell.padEnd(widths[column])).join('  ').trimEnd())
		.join('\n');
}
