//! What a sensor finds in a run, held against the truth.

use super::run::{Run, Truth};
use crate::error::{Error, Result};
use ringfence_primitives::{Action, Address, FlowSignature, Indicator, Millis, Network};
use ringfence_sensor::{
	engine::{Settings, NANOS_PER_MILLI, TICK},
	finding::Sample,
	learn::matches,
	Engine, Finding, Packet,
};
use std::collections::BTreeSet;

/// What sensors hash with here, so that runs repeat.
const KEY: u64 = 11;
/// Milliseconds for which time goes on after the last frame.
const AFTERWARDS: Millis = 1_500;
/// Milliseconds without frames for which a sensor is asked all the same: the rest of a longer silence is left out.
const SILENCE: Millis = 60_000;

/// So many of so many.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Part {
	/// Those meant.
	pub of: u64,
	/// All of them.
	pub whole: u64,
}

impl Part {
	fn count(&mut self, meant: bool) {
		self.whole += 1;
		self.of += u64::from(meant);
	}

	/// Whether it is at least so many in a thousand.
	pub fn reaches(&self, permille: u64) -> bool {
		self.of.saturating_mul(1_000) >= self.whole.saturating_mul(permille)
	}
}

/// What came of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
	/// The run's name.
	pub name: String,
	/// What was in it.
	pub truth: Truth,
	/// The attack's packets, of all.
	pub share: Part,
	/// When the right detector first found it: milliseconds from the attack's first packet on, and packets of it.
	pub found: Option<(Millis, u64)>,
	/// Packets of the attack that the right detector's signatures cover, of those that go its way.
	pub coverage: Option<Part>,
	/// Innocent packets that any signature would hit, of those that go the attack's way.
	pub collateral: Option<Part>,
	/// Hosts named who are guilty, of all that were named.
	pub precision: Option<Part>,
	/// The same, of all who are guilty.
	pub recall: Option<Part>,
	/// Other detectors that said something, and all that did before an attack began.
	pub others: BTreeSet<String>,
	/// What the right detector learned.
	pub signatures: BTreeSet<FlowSignature>,
}

/// A finding, when it was made, and how much of the attack had been seen.
struct Found {
	finding: Finding,
	/// None: before the attack began.
	after: Option<Millis>,
	packets: u64,
}

/// A sensor at work.
struct Watch {
	engine: Engine,
	fresh: Vec<Finding>,
	found: Vec<Found>,
	/// When the attack began.
	begun: Option<Millis>,
	share: Part,
	/// When time last passed.
	ticked: Option<Millis>,
}

impl Watch {
	fn new(home: Network, bad: Option<Address>) -> Result<Self> {
		let settings = Settings { home: vec![home], ..Settings::default() };
		let engine = Engine::new(&settings, KEY, move |address| Some(address) == bad).map_err(|error| {
			Error::Malformed { what: "the detectors' own settings".into(), cause: error.to_string() }
		})?;
		Ok(Self { engine, fresh: Vec::new(), found: Vec::new(), begun: None, share: Part::default(), ticked: None })
	}

	/// Lets time pass up to `now`, as it does in a gateway: also where no packets come.
	fn wait(&mut self, now: Millis) {
		let mut next = match self.ticked {
			Some(ticked) => ticked.saturating_add(TICK).max(now.saturating_sub(SILENCE)),
			None => now,
		};
		while next <= now {
			self.engine.tick(next, &mut self.fresh);
			self.take(next);
			self.ticked = Some(next);
			next = next.saturating_add(TICK);
		}
	}

	fn take(&mut self, now: Millis) {
		let (after, packets) = (self.begun.map(|begun| now.saturating_sub(begun)), self.share.of);
		self.found.extend(self.fresh.drain(..).map(|finding| Found { finding, after, packets }));
	}

	fn see(&mut self, link: ringfence_sensor::Link, bytes: &[u8], at: u64, hostile: bool) {
		let now = at / NANOS_PER_MILLI;
		self.wait(now);
		self.share.count(hostile);
		if hostile {
			self.begun.get_or_insert(now);
		}
		// What makes no sense is no packet of anybody.
		let _ = self.engine.frame(link, bytes, at, 1, &mut self.fresh);
		self.take(now);
	}

	fn end(&mut self) {
		let last = self.ticked.unwrap_or_default();
		self.wait(last.saturating_add(AFTERWARDS));
	}
}

/// Shows the run to a sensor, and once more to its signatures.
pub fn judge(run: &Run) -> Result<Row> {
	let mut watch = Watch::new(run.home, run.bad)?;
	run.play(&mut |link, bytes, at, hostile| watch.see(link, bytes, at, hostile))?;
	watch.end();
	let Watch { found, share, .. } = watch;
	let right = |found: &Found| Truth::Hostile(found.finding.detector) == run.truth && found.after.is_some();
	let flows = |only_right: bool| -> BTreeSet<FlowSignature> {
		let meant = found.iter().filter(|found| !only_right || right(found));
		meant
			.filter_map(|found| if let Indicator::Flow(flow) = found.finding.indicator { Some(flow) } else { None })
			.collect()
	};
	let (signatures, all) = (flows(true), flows(false));
	// What has an innocent past is only to be limited; what is to be dropped must hit nobody else.
	let limited = found.iter().filter(|found| matches!(found.finding.action, Some(Action::RateLimit(_))));
	let limited: BTreeSet<Indicator> = limited.map(|found| found.finding.indicator.clone()).collect();
	let dropped: Vec<_> = all.iter().filter(|flow| !limited.contains(&Indicator::Flow(**flow))).collect();
	let (mut coverage, mut collateral) = (Part::default(), Part::default());
	if !all.is_empty() {
		run.play(&mut |link, bytes, _, hostile| {
			let Ok(packet) = Packet::parse(link, bytes) else { return };
			let there = if run.outbound { packet.source } else { packet.destination };
			if !run.home.contains(&Network::host(there)) {
				return;
			}
			let sample = Sample::of(&packet, 0);
			match hostile {
				true => coverage.count(signatures.iter().any(|signature| matches(signature, &sample))),
				false => collateral.count(dropped.iter().any(|signature| matches(signature, &sample))),
			}
		})?;
	}
	let named: BTreeSet<Address> = found
		.iter()
		.filter_map(|found| match found.finding.indicator {
			Indicator::Host(host) => Some(host),
			Indicator::Endpoint(endpoint) => Some(endpoint.address),
			_ => None,
		})
		.collect();
	let count = |set: &BTreeSet<Address>| set.len() as u64;
	let guilty = run.guilty.as_ref();
	let caught = guilty.map(|guilty| guilty.intersection(&named).count() as u64);
	let others = found.iter().filter(|found| !right(found)).map(|Found { finding, after, .. }| {
		let early = if after.is_none() && matches!(run.truth, Truth::Hostile(_)) { " (before it)" } else { "" };
		format!("{}{early}", finding.detector)
	});
	Ok(Row {
		name: run.name.clone(),
		truth: run.truth,
		share,
		found: found.iter().find(|found| right(found)).and_then(|found| Some((found.after?, found.packets))),
		coverage: (!signatures.is_empty()).then_some(coverage),
		collateral: (collateral.whole > 0).then_some(collateral),
		precision: caught.filter(|_| !named.is_empty()).map(|of| Part { of, whole: count(&named) }),
		recall: caught.zip(guilty.map(count)).filter(|(_, whole)| *whole > 0).map(|(of, whole)| Part { of, whole }),
		others: others.collect(),
		signatures,
	})
}

/// Packets of `run` that `signatures` would hit if they were about everybody: their destination is left out.
pub fn hits(signatures: &BTreeSet<FlowSignature>, run: &Run) -> Result<Part> {
	let anywhere: Vec<_> =
		signatures.iter().map(|signature| FlowSignature { destination: None, ..*signature }).collect();
	let mut part = Part::default();
	run.play(&mut |link, bytes, _, _| {
		if let Ok(packet) = Packet::parse(link, bytes) {
			let sample = Sample::of(&packet, 0);
			part.count(anywhere.iter().any(|signature| matches(signature, &sample)));
		}
	})?;
	Ok(part)
}
