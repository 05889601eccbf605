//! What shows a finding. Its hash goes into the report; the record itself stays here, for whoever audits.

use super::hex;
use ringfence_primitives::{Digest, Indicator, Millis};
use serde::{Deserialize, Serialize};

/// Sensors that a record names at most.
const MAX_SOURCES: usize = 8;
/// Samples that a record has at most.
pub const MAX_SAMPLES: usize = 8;
/// Bytes of a sample at most.
const MAX_SAMPLE: usize = 512;

/// What one or several sensors saw of one indicator.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Evidence {
	/// Which sensors, such as `suricata` or `syn-flood 1`, the first to see it first.
	pub sources: Vec<String>,
	/// When the first packet or alert was seen, Unix time in milliseconds.
	pub first_seen: Millis,
	/// When the last one was.
	pub last_seen: Millis,
	/// Packets, or alerts, that were counted.
	pub packets: u64,
	/// Their length in octets, where that is known.
	pub bytes: u64,
	/// One packet in so many was looked at.
	pub sampling: u32,
	/// Parts in a thousand of the attack that a learned signature covers.
	#[serde(skip_serializing_if = "Option::is_none")]
	pub coverage_permille: Option<u32>,
	/// Parts in a thousand of innocent packets that it would hit.
	#[serde(skip_serializing_if = "Option::is_none")]
	pub collateral_permille: Option<u32>,
	/// The hop limit that most packets had.
	#[serde(skip_serializing_if = "Option::is_none")]
	pub hop_limit: Option<u8>,
	/// Headers of packets, or the beginnings of alert lines.
	pub samples: Vec<String>,
}

impl Evidence {
	/// What a single line of an alert log shows.
	pub fn of_line(source: &str, line: &str, at: Millis) -> Self {
		let mut evidence = Self {
			sources: vec![source.into()],
			first_seen: at,
			last_seen: at,
			packets: 1,
			sampling: 1,
			..Self::default()
		};
		evidence.sample(line);
		evidence
	}

	/// The same, seen at `now` where it does not say when.
	#[must_use]
	pub fn dated(mut self, now: Millis) -> Self {
		for time in [&mut self.first_seen, &mut self.last_seen] {
			if *time == 0 {
				*time = now;
			}
		}
		self
	}

	/// Adds a sample, if there is room for it.
	pub fn sample(&mut self, text: &str) {
		if self.samples.len() < MAX_SAMPLES {
			let mut end = text.len().min(MAX_SAMPLE);
			while !text.is_char_boundary(end) {
				end -= 1;
			}
			self.samples.push(text.get(..end).unwrap_or_default().into());
		}
	}

	/// Takes in what another finding about the same indicator shows. Of a flood that lasts, a detector tells the count since
	/// it began, so the greater count stands; counts of different beginnings add up.
	pub fn merge(&mut self, other: &Self) {
		let same =
			other.first_seen == self.first_seen && other.sources.iter().all(|source| self.sources.contains(source));
		let join = |own: u64, others: u64| if same { own.max(others) } else { own.saturating_add(others) };
		self.packets = join(self.packets, other.packets);
		self.bytes = join(self.bytes, other.bytes);
		self.first_seen = self.first_seen.min(other.first_seen);
		self.last_seen = self.last_seen.max(other.last_seen);
		self.sampling = self.sampling.max(other.sampling);
		self.coverage_permille = other.coverage_permille.or(self.coverage_permille);
		self.collateral_permille = other.collateral_permille.or(self.collateral_permille);
		self.hop_limit = other.hop_limit.or(self.hop_limit);
		for source in &other.sources {
			if self.sources.len() < MAX_SOURCES && !self.sources.contains(source) {
				self.sources.push(source.clone());
			}
		}
		other.samples.iter().for_each(|sample| self.sample(sample));
	}
}

impl From<&ringfence_sensor::Finding> for Evidence {
	fn from(finding: &ringfence_sensor::Finding) -> Self {
		Self {
			sources: vec![format!("{} {}", finding.detector, finding.version)],
			first_seen: finding.first_seen,
			last_seen: finding.last_seen,
			packets: finding.packets,
			bytes: finding.bytes,
			sampling: finding.sampling,
			coverage_permille: finding.fit.map(|fit| fit.coverage_permille()),
			collateral_permille: finding.fit.map(|fit| fit.collateral_permille()),
			hop_limit: finding.fit.and_then(|fit| fit.hop_limit),
			samples: finding.samples.iter().take(MAX_SAMPLES).map(ToString::to_string).collect(),
		}
	}
}

/// One line of the evidence that is kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
	/// The name of the indicator.
	#[serde(with = "hex::serde_digest")]
	pub id: Digest,
	/// The indicator, for people.
	pub indicator: String,
	/// When it was reported.
	pub at: Millis,
	/// What shows it.
	pub evidence: Evidence,
}

impl Record {
	/// What is kept of a report made at `at`.
	pub fn new(indicator: &Indicator, evidence: &Evidence, at: Millis) -> Self {
		Self { id: indicator.id(), indicator: indicator.to_string(), at, evidence: evidence.clone() }
	}

	/// The line that is kept, without its end.
	pub fn line(&self) -> String {
		// Numbers and text always serialize.
		serde_json::to_string(self).unwrap_or_default()
	}

	/// What the report names: BLAKE2b-256 of [`Self::line`].
	pub fn digest(&self) -> Digest {
		super::blake2_256(self.line().as_bytes())
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_record_reads_back_and_its_hash_is_that_of_its_line() {
		let indicator = Indicator::Host("198.51.100.1".parse().unwrap());
		let evidence = Evidence::of_line("suricata", "{\"alert\": 1}", 5);
		let record = Record::new(&indicator, &evidence, 7);
		let line = record.line();
		assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
		assert_eq!(record.digest(), super::super::blake2_256(line.as_bytes()));
		assert!(!line.contains('\n'));
	}

	#[test]
	fn what_several_sensors_saw_adds_up_and_what_one_tells_again_does_not() {
		let told = |source: &str, first_seen, last_seen, packets| Evidence {
			sources: vec![source.into()],
			first_seen,
			last_seen,
			packets,
			bytes: packets * 60,
			sampling: 1,
			..Evidence::default()
		};
		let mut evidence = told("syn-flood 1", 100, 200, 1_000);
		evidence.merge(&told("syn-flood 1", 100, 300, 5_000));
		assert_eq!((evidence.packets, evidence.last_seen), (5_000, 300));
		evidence.merge(&told("suricata", 90, 250, 3));
		assert_eq!((evidence.packets, evidence.first_seen, evidence.sources.len()), (5_003, 90, 2));
	}

	#[test]
	fn a_record_has_bounds() {
		let mut evidence = Evidence::of_line("suricata", &"é".repeat(2_000), 5);
		for number in 0..100 {
			evidence.merge(&Evidence::of_line(&format!("sensor {number}"), "line", number));
		}
		assert_eq!((evidence.sources.len(), evidence.samples.len()), (MAX_SOURCES, MAX_SAMPLES));
		assert!(evidence.samples[0].len() <= MAX_SAMPLE);
		assert_eq!(evidence.packets, 101);
	}
}
