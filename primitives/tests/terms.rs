//! Whose report counts for whose terms.

use ringfence_primitives::*;

fn terms(action: Action, direction: Direction, seconds: u32) -> Terms {
	Terms {
		threat: ThreatClass::Scan,
		severity: Severity::High,
		confidence: Confidence::new(80).unwrap(),
		direction,
		action,
		tlp: Tlp::Green,
		lifetime: Lifetime::new(seconds).unwrap(),
		evidence: None,
		note: Note::default(),
	}
}

fn rate(packets: u32) -> Action {
	Action::RateLimit(PacketRate::new(packets).unwrap())
}

#[test]
fn who_asks_for_more_agrees_to_less_and_not_the_other_way_round() {
	let (inbound, both) = (Direction::Inbound, Direction::Both);
	let rising = [
		terms(Action::Watch, inbound, 60),
		terms(rate(100), inbound, 60),
		terms(rate(10), inbound, 60),
		terms(Action::Drop, inbound, 60),
		terms(Action::Drop, both, 60),
		terms(Action::Drop, both, 61),
	];
	for (index, more) in rising.iter().enumerate() {
		for (other, less) in rising.iter().enumerate() {
			assert_eq!(more.cover(less), other <= index, "{more:?} and {less:?}");
		}
	}
	assert!(!terms(Action::Drop, inbound, 60).cover(&terms(Action::Drop, Direction::Outbound, 60)));
}

#[test]
fn what_is_said_beside_the_ask_does_not_matter() {
	let plain = terms(Action::Drop, Direction::Both, 60);
	let other =
		Terms { evidence: Some([1; 32]), note: Note::truncated("mine"), severity: Severity::Low, ..plain.clone() };
	assert!(plain.cover(&other) && other.cover(&plain));
}
