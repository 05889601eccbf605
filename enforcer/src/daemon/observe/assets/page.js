// The page's behaviour. Everything that the gateway says is put in as text, never as markup: names of devices and
// reports come from strangers. The code is kept in this browser and sent in a header, never in an address.
"use strict";

const EVERY = 10_000;
const HOUR = 3_600_000;
const EVENTS = 8;
const KEEP = "ringfence-code";
const SVG = "http://www.w3.org/2000/svg";

const $ = (id) => document.getElementById(id);

// Plain words for what an address is known for.
const THREATS = {
	"scan": "looks for weak spots",
	"brute-force": "guesses passwords",
	"exploit": "breaks into devices",
	"malware": "spreads malware",
	"botnet": "is a hijacked machine",
	"command-and-control": "controls hijacked devices",
	"denial-of-service": "takes part in attacks",
	"amplification": "amplifies attacks",
	"phishing": "steals passwords by deceit",
	"spam": "sends spam",
	"other": "does harm",
};
// What a device of the home does, by the detector that says so.
const HARMS = {
	"beacon": "it keeps calling an address that is known to be dangerous",
	"mirai": "it tries to break into other devices, as the Mirai worm does",
	"outbound-flood": "it floods others on the internet with packets",
};
const VERBS = {
	"activated": "Blocked", "extended": "Blocked for longer", "revoked": "No longer blocked", "expired": "Block ended",
	"protected": "Will never be blocked", "unprotected": "May be blocked again",
	"activated for the tier": "Blocked by your provider", "revoked for the tier": "No longer blocked by your provider",
};
const VERDICTS = {
	"protected": ["Your home is protected", ""],
	"stale": ["Protected, but news may be missing", "Everything known so far stays blocked. "],
	"watching": ["Only watching", "Nothing is blocked at the moment. "],
	"off": ["Not protected", "Nothing is blocked at the moment. "],
};

// Ages are told by the gateway's clock: this one may be wrong.
let skew = 0;
const now = () => Date.now() + skew;

function element(name, attributes = {}, ...content) {
	const node = document.createElement(name);
	for (const [key, value] of Object.entries(attributes)) {
		if (key === "onclick") node.addEventListener("click", value);
		else if (value !== null) node.setAttribute(key, value);
	}
	node.append(...content.filter((part) => part !== null));
	return node;
}

function shape(name, attributes, text) {
	const node = document.createElementNS(SVG, name);
	for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
	if (text !== undefined) node.textContent = text;
	return node;
}

const number = (value) => value.toLocaleString();
const hour = (ms) => new Date(ms).toLocaleTimeString([], { hour: "numeric" });
const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
const plural = (count, unit) => `${count} ${unit}${count === 1 ? "" : "s"}`;

function span(ms) {
	const minutes = Math.round(ms / 60_000);
	if (minutes < 1) return "less than a minute";
	if (minutes < 90) return plural(minutes, "minute");
	if (minutes < 36 * 60) return plural(Math.round(minutes / 60), "hour");
	return plural(Math.round(minutes / 1_440), "day");
}
const ago = (ms) => (now() - ms < 45_000 ? "just now" : `${span(now() - ms)} ago`);
const left = (ms) => (ms > now() ? `${span(ms - now())} left` : "ending");

let code = null;
try { code = localStorage.getItem(KEEP); } catch { /* Not allowed to keep it: it is asked for each time. */ }

function keep(value) {
	code = value;
	try {
		if (value === null) localStorage.removeItem(KEEP);
		else localStorage.setItem(KEEP, value);
	} catch { /* As above. */ }
}

// A link that `status` printed carries the code behind the #, which is sent to nobody; out of sight with it.
function takeLink() {
	const found = /^#code=([A-Za-z0-9]+)$/.exec(location.hash);
	if (!found) return;
	keep(found[1]);
	history.replaceState(null, "", location.pathname);
}
takeLink();

class Refused extends Error {
	constructor(status, cause) {
		super(cause);
		this.status = status;
	}
}

async function ask(path, body) {
	const headers = code === null ? {} : { authorization: `Bearer ${code}` };
	const request = { headers, cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(15_000) };
	if (body !== undefined) {
		headers["content-type"] = "application/json";
		Object.assign(request, { method: "POST", body: JSON.stringify(body) });
	}
	const reply = await fetch(path, request);
	const value = await reply.json();
	if (!reply.ok) throw new Refused(reply.status, value.cause ?? "That did not work.");
	return value;
}

function showSummary(summary) {
	skew = summary.now - Date.now();
	const [verdict, lead] = VERDICTS[summary.shield] ?? VERDICTS.off;
	$("hero").className = `hero ${summary.shield}`;
	say("verdict", verdict);
	say("detail", summary.cause === null
		? summary.active > 0 ? `${number(summary.active)} dangerous ${summary.active === 1 ? "address is" : "addresses are"} kept out, as the providers agreed.` : "Nothing dangerous is known at the moment."
		: `${lead}The reason: ${summary.cause}.`);
	say("fresh", summary["checked-at"] === null ? "Nothing was heard from the network yet." : `Last checked ${ago(summary["checked-at"])}.`);
	say("version", `Version ${summary.version}`);
	document.title = `${verdict} · Ringfence`;
	const sum = (counts) => counts.reduce((a, b) => a + b, 0);
	const would = summary.shield === "watching";
	say("inbound-is", would ? "unwanted packets from the internet that would be turned away" : "unwanted packets from the internet turned away");
	say("outbound-is", would ? "packets from your devices to dangerous addresses that would be stopped" : "packets from your devices to dangerous addresses stopped");
	say("inbound", number(sum(summary.inbound)));
	say("outbound", number(sum(summary.outbound)));
	alarms = summary.suspects;
	showAlarm();
	plot(summary);
	hours(summary);
}

// Writes only what changed: a screen reader tells what is written.
function say(id, text) {
	if ($(id).textContent !== text) $(id).textContent = text;
}

function lost() {
	$("hero").className = "hero lost";
	say("verdict", "The gateway does not answer");
	say("detail", "This page cannot tell whether it protects you. It tries again by itself.");
	say("fresh", "");
	document.title = "No answer · Ringfence";
}

// Sums neighbours until the columns are wide enough for the screen.
function gather(summary, most) {
	const size = Math.ceil(summary.inbound.length / most);
	const columns = [];
	for (let first = 0; first < summary.inbound.length; first += size) {
		const sum = (counts) => counts.slice(first, first + size).reduce((a, b) => a + b, 0);
		const from = summary.from + first * summary["step-ms"];
		columns.push({ from, to: from + size * summary["step-ms"], inbound: sum(summary.inbound), outbound: sum(summary.outbound) });
	}
	return columns;
}

// The least round number (1, 2 or 5 times a power of ten) from `value` on.
function round(value) {
	const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
	return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

let shown = null;
let chosen = null;

function plot(summary) {
	shown = summary;
	const width = Math.max($("plot").clientWidth, 240);
	const [height, foot, side, head] = [176, 24, 44, 8];
	const columns = gather(summary, width < 560 ? 48 : 144);
	const top = round(Math.max(4, ...columns.map((c) => c.inbound + c.outbound)));
	const x = (index) => side + (index * (width - side)) / columns.length;
	const y = (value) => head + (height - foot - head) * (1 - value / top);
	const total = columns.reduce((sum, c) => sum + c.inbound + c.outbound, 0);
	const svg = shape("svg", {
		viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: 0,
		"aria-label": `Packets blocked over the last 24 hours, ${number(total)} in all. Arrow keys read single values; the table below has them all.`,
	});
	for (const value of [0, top / 2, top]) {
		svg.append(shape("line", { class: "grid", x1: side, x2: width, y1: y(value), y2: y(value) }));
		svg.append(shape("text", { x: side - 6, y: y(value) + 4, "text-anchor": "end" },
			Intl.NumberFormat([], { notation: "compact" }).format(value)));
	}
	const gap = width < 560 ? 1.5 : 1;
	columns.forEach((column, index) => {
		const common = { x: x(index), width: Math.max(x(index + 1) - x(index) - gap, 1) };
		const bar = (kind, from, to) => {
			if (to === from) return;
			// Whatever is there can be seen, however little beside the highest column.
			const size = Math.max(y(from) - y(to), 1.5);
			svg.append(shape("rect", { ...common, class: kind, y: y(from) - size, height: size }));
		};
		bar("pin", 0, column.inbound);
		bar("pout", column.inbound, column.inbound + column.outbound);
		const begins = new Date(column.from);
		const every = width < 560 ? 6 : 3;
		if (begins.getHours() % every === 0 && column.from - new Date(column.from).setMinutes(0, 0, 0) < column.to - column.from
			&& x(index) < width - 24) {
			svg.append(shape("text", { x: x(index), y: height - 6, "text-anchor": "middle" }, hour(begins.setMinutes(0, 0, 0))));
		}
	});
	const here = shape("rect", { class: "here", y: head, height: height - foot - head, width: 0 });
	svg.append(here);
	const choose = (index) => {
		chosen = index;
		const column = columns[index];
		if (column === undefined) {
			here.setAttribute("width", 0);
			say("readout", "Point at a column to read it.");
			return;
		}
		here.setAttribute("x", x(index));
		here.setAttribute("width", x(index + 1) - x(index));
		say("readout", `${clock(column.from)} to ${clock(column.to)}: ${number(column.inbound)} from the internet, ${number(column.outbound)} from your devices`);
	};
	const at = (event) => {
		const box = svg.getBoundingClientRect();
		const across = ((event.clientX - box.left) / box.width) * width;
		return Math.min(Math.max(Math.floor(((across - side) / (width - side)) * columns.length), 0), columns.length - 1);
	};
	svg.addEventListener("pointermove", (event) => choose(at(event)));
	svg.addEventListener("pointerdown", (event) => choose(at(event)));
	svg.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") choose(null); });
	svg.addEventListener("blur", () => choose(null));
	svg.addEventListener("keydown", (event) => {
		const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
		if (step === undefined) return;
		event.preventDefault();
		choose(Math.min(Math.max((chosen ?? columns.length) + step, 0), columns.length - 1));
	});
	const focused = document.activeElement === $("plot").firstElementChild && $("plot").firstElementChild !== null;
	const before = chosen;
	$("plot").replaceChildren(svg);
	if (focused) svg.focus();
	choose(before !== null && before < columns.length ? before : null);
}

function hours(summary) {
	const rows = gather(summary, 24).reverse();
	$("hours").replaceChildren(...rows.map((row) => element("tr", {},
		element("td", {}, clock(row.from)), element("td", {}, number(row.inbound)), element("td", {}, number(row.outbound)))));
}

function badge(block) {
	if (!block?.severity) return null;
	return element("span", { class: `badge ${block.severity}` }, `${block.severity} risk`);
}

const threat = (name) => THREATS[name] ?? THREATS.other;

function reason(block) {
	if (!block) return "";
	const source = { chain: "say the providers", tier: "says your provider", household: "by your own wish", owner: "by the configuration" }[block.source];
	const known = block.threat ? `It ${threat(block.threat)}` : "It is blocked";
	return source ? `${known}, ${source}.` : `${known}.`;
}

const allowButton = (peer, block) =>
	element("button", { onclick: () => openDialog(peer, block), "aria-label": `Allow ${peer}` }, "Allow…");

// How many devices do harm, which anybody may know; and which, which only the household may.
let alarms = 0;
let accused = null;
let alarmed = "";

function showAlarm() {
	const same = JSON.stringify([alarms, accused, Math.floor(now() / 60_000)]);
	if (same === alarmed) return;
	alarmed = same;
	$("alarm").hidden = alarms === 0;
	$("alarm-locked").hidden = accused !== null;
	say("alarm-title", alarms === 1 ? "A device in your home does harm" : `${number(alarms)} devices in your home do harm`);
	$("suspects").replaceChildren(...(accused ?? []).map((device) => {
		const harms = [...new Set(device.signs.map((sign) => HARMS[sign.detector] ?? "it does what healthy devices do not"))];
		const who = device.address === null ? "A device" : device.name === null ? `The device ${device.address}` : `The device ${device.name} (${device.address})`;
		return element("li", {}, element("div", { class: "what" },
			element("b", {}, `${who} behaves as if it had been taken over: ${harms.join(", and ")}.`),
			...device.signs.slice(0, 3).map((sign) => element("div", { class: "quiet" }, `Last seen ${ago(sign.at)}: ${sign.note}.`))));
	}));
}

// Whether anything looks at packets.
function watching(sensors) {
	if (sensors === null) return "";
	if (sensors.away === sensors.interfaces) return "Sensors wait for their network interface: nothing is looked at.";
	const away = sensors.away > 0 ? ` ${plural(sensors.away, "network interface")} of ${sensors.interfaces} cannot be looked at.` : "";
	const pace = `${number(sensors["packets-per-second"])} packets a second`;
	return (sensors.sampling > 1 ? `Of ${pace} sensors look at one in ${number(sensors.sampling)}.` : `Sensors look at ${pace}.`) + away;
}

function showDevices(devices) {
	if (devices.length === 0) {
		$("devices").replaceChildren(element("p", { class: "empty" }, "None of your devices tried to reach a blocked address in the last day."));
		return;
	}
	$("devices").replaceChildren(...devices.map((device) => element("div", { class: "device" },
		element("h3", {}, device.name ?? device.address, device.name ? element("span", { class: "quiet" }, device.address) : null),
		element("ul", { class: "tries" }, ...device.contacts.slice(0, 10).map((attempt) => {
			const free = attempt.state === "allowed" || attempt.state === "free" || attempt.state === "protected";
			return element("li", {},
				element("div", { class: "what" },
					element("b", {}, attempt.peer), " ",
					free ? element("span", { class: "badge free" }, attempt.state === "allowed" ? "allowed now" : "no longer blocked") : badge(attempt.block),
					element("div", { class: "quiet" }, `${free ? "" : `${reason(attempt.block)} `}Tried ${ago(attempt.last)}.`)),
				free ? null : allowButton(attempt.peer, attempt.block));
		})))));
}

function showOverrides(overrides) {
	if (overrides.length === 0) {
		$("exceptions").replaceChildren(element("li", { class: "empty" }, "You made none. What you allow is listed here."));
		return;
	}
	$("exceptions").replaceChildren(...overrides.map((one) => element("li", {},
		element("div", { class: "what" },
			element("b", {}, bare(one.network)), " ",
			element("span", { class: one.verdict === "allow" ? "badge free" : "badge high" }, one.verdict === "allow" ? "allowed" : "blocked by you"),
			element("div", { class: "quiet" }, one.until === null ? "Until you remove it." : `${left(one.until)}.`)),
		element("button", { onclick: (event) => forget(one.network, event.currentTarget), "aria-label": `Remove the exception for ${bare(one.network)}` }, "Remove"))));
}

// A network of one address is an address.
const bare = (network) => network.replace(network.includes(":") ? /\/128$/ : /\/32$/, "");

let events = [];
let all = false;

function showEvents() {
	const list = all ? events : events.slice(0, EVENTS);
	$("more").hidden = list.length === events.length;
	if (events.length === 0) {
		$("events").replaceChildren(element("li", { class: "empty" }, "None since the gateway was set up."));
		return;
	}
	$("events").replaceChildren(...list.map((event) => {
		const done = VERBS[event.verb] ?? event.verb;
		const outcome = typeof event.outcome === "string" ? `${done} ${ago(event.at)}.`
			: event.outcome["passed-over"] !== undefined ? `Not applied here, ${ago(event.at)}: ${event.outcome["passed-over"]}.`
			: `Not blocked, ${ago(event.at)}: the firewall refused it (${event.outcome.failed}).`;
		const about = event.reason ? ` It ${threat(event.reason.threat)}.` : "";
		return element("li", {}, element("div", { class: "what" },
			element("b", {}, event.what), " ", badge(event.reason),
			element("div", { class: "quiet" }, outcome + about)));
	}));
}

function showWhy(why) {
	const STATES = {
		"blocked": `${why.address} is blocked.`,
		"allowed": `${why.address} is allowed: blocks do not touch it.`,
		"protected": `${why.address} is never blocked.`,
		"free": `${why.address} is not blocked. If it cannot be reached, that has another reason.`,
		"off-list": `${why.address} is not on your list of those who may come in.`,
	};
	const parts = [element("p", {}, element("b", {}, STATES[why.state] ?? why.state))];
	for (const block of why.blocks.slice(0, 5)) {
		const until = block["expires-at"] ? ` ${left(block["expires-at"])}.` : "";
		parts.push(element("p", {}, element("b", {}, block.target), " ", badge(block), element("span", { class: "quiet" }, ` ${reason(block)}${until}`)));
	}
	if (why.state === "blocked") parts.push(element("p", {}, allowButton(why.address, why.blocks[0])));
	$("because").replaceChildren(...parts);
}

function openHousehold(isOpen) {
	$("open").hidden = !isOpen;
	$("locked").hidden = isOpen;
	if (!isOpen) {
		accused = null;
		showAlarm();
	}
}

// What was shown last: what has not changed is left alone, with the focus in it.
let last = "";

async function refreshHousehold() {
	if (code === null) return openHousehold(false);
	try {
		const { sensors, ...view } = await ask("/api/household");
		const minute = Math.floor(now() / 60_000);
		const same = JSON.stringify([view, minute]) === last;
		last = JSON.stringify([view, minute]);
		openHousehold(true);
		say("eyes", watching(sensors));
		if (same) return;
		const focus = document.activeElement?.getAttribute("aria-label");
		accused = view.suspects;
		showAlarm();
		showDevices(view.devices);
		showOverrides(view.overrides);
		events = view.events;
		showEvents();
		if (view.trouble !== null) toast(`Some of this is missing: ${view.trouble}`);
		if (focus && document.activeElement === document.body) {
			[...document.querySelectorAll("[aria-label]")].find((node) => node.getAttribute("aria-label") === focus)?.focus();
		}
	} catch (error) {
		if (error.status !== 401) return;
		keep(null);
		openHousehold(false);
		say("unlock-error", "That code is not right.");
	}
}

async function refresh() {
	try {
		showSummary(await ask("/api/summary"));
	} catch {
		lost();
	}
	await refreshHousehold();
}

let fading = 0;
function toast(text) {
	clearTimeout(fading);
	say("toast", text);
	fading = setTimeout(() => say("toast", ""), 6_000);
}

let subject = null;

function openDialog(peer, block) {
	subject = peer;
	say("allow-peer", peer);
	say("allow-why", reason(block));
	say("allow-error", "");
	$("allow-for").value = "86400000";
	$("allow-dispute").checked = false;
	$("allow").showModal();
}

async function allow() {
	$("allow-yes").disabled = true;
	try {
		const span = $("allow-for").value;
		const { set } = await ask("/api/allow", { network: subject, "for-ms": span === "" ? null : Number(span), dispute: $("allow-dispute").checked });
		$("allow").close();
		toast(`${subject} is let through.${set.disputed?.length > 0 ? " The providers are told." : ""}`);
		$("because").replaceChildren();
		await refreshHousehold();
	} catch (error) {
		say("allow-error", `That did not work: ${error.message}`);
	} finally {
		$("allow-yes").disabled = false;
	}
}

async function forget(network, button) {
	button.disabled = true;
	try {
		await ask("/api/forget", { network });
		toast(`The exception for ${bare(network)} is removed.`);
		await refreshHousehold();
	} catch (error) {
		toast(`That did not work: ${error.message}`);
	} finally {
		button.disabled = false;
	}
}

$("unlock").addEventListener("submit", (event) => {
	event.preventDefault();
	say("unlock-error", "");
	keep($("code").value.trim());
	$("code").value = "";
	refreshHousehold();
});
$("why").addEventListener("submit", async (event) => {
	event.preventDefault();
	try {
		showWhy(await ask(`/api/why?address=${encodeURIComponent($("address").value.trim())}`));
	} catch (error) {
		$("because").replaceChildren(element("p", { class: "error" }, `That did not work: ${error.message}`));
	}
});
$("allow-no").addEventListener("click", () => $("allow").close());
$("allow-yes").addEventListener("click", allow);
$("more").addEventListener("click", () => { all = true; showEvents(); });
$("lock").addEventListener("click", () => { keep(null); last = ""; openHousehold(false); });
addEventListener("hashchange", () => { takeLink(); refreshHousehold(); });

let settling = 0;
addEventListener("resize", () => {
	clearTimeout(settling);
	settling = setTimeout(() => { if (shown) plot(shown); }, 150);
});

async function run() {
	for (;;) {
		// Nobody looks: nobody asks.
		if (!document.hidden) await refresh();
		await new Promise((resolve) => {
			const timer = setTimeout(resolve, EVERY);
			document.addEventListener("visibilitychange", () => { if (!document.hidden) { clearTimeout(timer); resolve(); } }, { once: true });
		});
	}
}
run();
