// Looks at the enforcer's page the way a household does: in a real browser, wide and narrow, light and dark, with mouse,
// finger and keyboard. `enforcer/tests/page.rs` starts the server and runs this:
//
//   node look.mjs ADDRESS CODE FOLDER
//
// It fails on the first thing that is not as it should be, and leaves screenshots in FOLDER.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [address, code, folder] = process.argv.slice(2);
const BROWSERS = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const executablePath = BROWSERS.find((path) => path && existsSync(path));
assert(executablePath, "no Chromium: scripts/setup installs it");
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
mkdirSync(folder, { recursive: true });

// The page is ours and loads nothing else, so the sandbox, which does not work for root, is not needed.
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const wrong = [];

async function open(options, path = "/") {
	const context = await browser.newContext({ viewport: { width: 1000, height: 900 }, ...options });
	const page = await context.newPage();
	page.setDefaultTimeout(10_000);
	page.on("pageerror", (error) => wrong.push(`script: ${error}`));
	page.on("console", (message) => {
		// What the steps have refused on purpose is told there as well.
		if (message.type() === "error" && !/status of (400|401|409) /.test(message.text())) wrong.push(`console: ${message.text()}`);
	});
	page.on("request", (request) => {
		if (!request.url().startsWith(`${address}/`)) wrong.push(`asked elsewhere: ${request.url()}`);
	});
	await page.goto(address + path);
	await page.locator(".hero:not(.wait)").waitFor();
	return page;
}

async function accessible(page, what) {
	await page.evaluate(axe);
	const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
	const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`);
	assert.deepEqual(told, [], `accessibility, ${what}`);
}

const shot = (page, name) => page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });

async function step(name, run) {
	await run();
	console.log(`ok  ${name}`);
}

try {
	let page = await open({});

	await step("whoever connects sees whether the home is protected, and no more", async () => {
		assert.equal(await page.locator("#verdict").textContent(), "Your home is protected");
		assert.match(await page.locator("#fresh").textContent(), /^Last checked /);
		assert.equal(await page.locator("#inbound").textContent(), "1,234");
		assert.equal(await page.locator("#outbound").textContent(), "5");
		assert(await page.locator("#plot .pin").count() > 0);
		assert(await page.locator("#locked").isVisible());
		assert(!await page.locator("#open").isVisible());
		assert.equal(await page.locator("#alarm-title").textContent(), "A device in your home does harm");
		assert(await page.locator("#alarm-locked").isVisible());
		assert.equal(await page.locator("#suspects li").count(), 0);
		await accessible(page, "without the code");
		await shot(page, "guest");
	});

	await step("the plot can be read by keyboard and as a table", async () => {
		await page.locator("#plot svg").focus();
		await page.keyboard.press("ArrowLeft");
		assert.match(await page.locator("#readout").textContent(), / to .*: [\d,]+ from the internet, \d+ from your devices$/);
		await page.locator("details summary").click();
		assert.equal(await page.locator("#hours tr").count(), 24);
		await page.locator("details summary").click();
	});

	await step("a wrong code opens nothing", async () => {
		await page.locator("#code").fill("0".repeat(32));
		await page.getByRole("button", { name: "Show", exact: true }).click();
		await page.getByText("That code is not right.").waitFor();
		assert(!await page.locator("#open").isVisible());
	});

	await step("the code opens the household's part", async () => {
		await page.locator("#code").fill(code);
		await page.keyboard.press("Enter");
		await page.locator("#open").waitFor();
		assert.match(await page.locator("#devices").textContent(), /192\.168\.1\.23.*203\.0\.113\.9.*critical risk.*controls hijacked devices/s);
		await accessible(page, "with the code");
		await shot(page, "light");
	});

	await step("the code tells which device does harm, in plain words, and what is looked at", async () => {
		assert(!await page.locator("#alarm-locked").isVisible());
		assert.equal(await page.locator("#suspects b").textContent(), "The device 192.168.1.23 behaves as if it had been taken over: "
			+ "it floods others on the internet with packets, and it keeps calling an address that is known to be dangerous.");
		assert.match(await page.locator("#suspects").textContent(), /Last seen \d+ minutes? ago: 192\.168\.1\.23: <b>3 calls<\/b>\./);
		assert.equal(await page.locator("#eyes").textContent(), "Of 1,200 packets a second sensors look at one in 4.");
	});

	await step("what strangers wrote is text, never markup", async () => {
		assert.match(await page.locator("#events").textContent(), /<img src=x onerror=/);
		assert.equal(await page.locator("main img").count(), 0);
	});

	await step("an address that does not work is looked up", async () => {
		await page.locator("#address").fill("203.0.113.9");
		await page.keyboard.press("Enter");
		await page.getByText("203.0.113.9 is blocked.").waitFor();
		await page.locator("#address").fill("nonsense");
		await page.keyboard.press("Enter");
		await page.getByText("this is no address").waitFor();
	});

	await step("a peer is let through, and blocked again", async () => {
		await page.locator("#devices").getByRole("button", { name: "Allow 203.0.113.9" }).click();
		await page.locator("dialog[open]").waitFor();
		await accessible(page, "dialog");
		await shot(page, "dialog");
		await page.locator("#allow-for").selectOption({ label: "A week" });
		await page.getByRole("button", { name: "Let it through" }).click();
		await page.getByText("203.0.113.9 is let through.").waitFor();
		await page.locator("#exceptions").getByText("allowed").waitFor();
		assert.match(await page.locator("#exceptions").textContent(), /203\.0\.113\.9 allowed7 days left/);
		assert.match(await page.locator("#devices").textContent(), /203\.0\.113\.9 allowed now/);
		await page.getByRole("button", { name: "Remove the exception for 203.0.113.9" }).click();
		await page.locator("#exceptions").getByText("You made none.").waitFor();
	});

	await step("what the gateway refuses is told", async () => {
		await page.locator("#devices").getByRole("button", { name: "Allow 2001:db8::bad" }).click();
		await page.getByRole("button", { name: "Let it through" }).click();
		await page.getByText("That did not work: too many overrides").waitFor();
		await page.keyboard.press("Escape");
	});

	await step("a gateway that is gone is not taken for a protection", async () => {
		await page.route("**/api/**", (route) => route.abort());
		await page.locator(".hero.lost").waitFor({ timeout: 20_000 });
		assert.equal(await page.locator("#verdict").textContent(), "The gateway does not answer");
		// The browser tells of what was aborted here.
		wrong.splice(0, wrong.length, ...wrong.filter((told) => !told.includes("ERR_FAILED")));
		await page.unroute("**/api/**");
		await page.locator(".hero.protected").waitFor({ timeout: 20_000 });
	});

	await step("the code is forgotten on request", async () => {
		await page.getByRole("button", { name: "Forget the code" }).click();
		await page.locator("#locked").waitFor();
		assert.equal(await page.locator("#suspects li").count(), 0);
		assert(await page.locator("#alarm").isVisible());
		await page.reload();
		await page.locator("#locked").waitFor();
		await page.context().close();
	});

	await step("a link carries the code, and hides it at once; it is readable in the dark", async () => {
		page = await open({ colorScheme: "dark" }, `/#code=${code}`);
		await page.locator("#open").waitFor();
		assert.equal(page.url(), `${address}/`);
		await accessible(page, "dark");
		await shot(page, "dark");
		await page.reload();
		await page.locator("#open").waitFor();
		await page.context().close();
	});

	await step("it fits a phone", async () => {
		for (const [name, width] of [["phone", 390], ["small-phone", 320]]) {
			const viewport = { width, height: 720 };
			page = await open({ viewport, isMobile: true, hasTouch: true, deviceScaleFactor: 2 }, `/#code=${code}`);
			await page.locator("#open").waitFor();
			assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
			await page.locator("#plot svg").tap();
			assert.match(await page.locator("#readout").textContent(), / from your devices$/);
			await accessible(page, name);
			await shot(page, name);
			await page.context().close();
		}
	});

	assert.deepEqual(wrong, []);
} finally {
	await browser.close();
}
