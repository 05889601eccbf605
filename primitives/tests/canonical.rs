//! Every type goes round through SCALE, and what is not canonical is refused with the cause.

use codec::{Decode, Encode};
use proptest::{option, prelude::*};
use ringfence_primitives::*;

/// Decodes `bytes` to the last and says why not.
fn refusal<T: Decode>(bytes: &[u8]) -> String {
	match T::decode(&mut &bytes[..]) {
		Ok(_) => panic!("accepted {bytes:02x?}"),
		Err(cause) => cause.to_string(),
	}
}

fn round<T: Encode + Decode + PartialEq + std::fmt::Debug>(value: &T) {
	assert_eq!(&T::decode(&mut &value.encode()[..]).unwrap(), value);
}

fn address() -> impl Strategy<Value = Address> {
	prop_oneof![
		any::<[u8; 4]>().prop_map(Address::V4),
		any::<[u8; 16]>().prop_filter_map("mapped", |octets| Address::v6(octets).ok()),
	]
}

fn v4_network() -> impl Strategy<Value = Network> {
	(any::<[u8; 4]>(), 0..=32u8)
		.prop_map(|(octets, prefix)| Network::new(Address::V4(octets).masked(prefix), prefix).unwrap())
}

fn network() -> impl Strategy<Value = Network> {
	(address(), 0..=128u8).prop_filter_map("mapped when masked", |(address, prefix)| {
		let prefix = prefix.min(address.bits());
		let masked = address.masked(prefix);
		if let Address::V6(octets) = masked {
			Address::v6(octets).ok()?;
		}
		Network::new(masked, prefix).ok()
	})
}

fn flow() -> impl Strategy<Value = FlowSignature> {
	let ports = || {
		option::of((any::<u16>(), any::<u16>()).prop_filter_map("range", |(a, b)| PortRange::new(a.min(b), a.max(b))))
	};
	(
		network(),
		option::of(any::<u8>()),
		ports(),
		ports(),
		any::<(u8, u8)>(),
		option::of((any::<u8>(), option::of(any::<u8>()))),
	)
		.prop_map(|(source, protocol, source_ports, destination_ports, (mask, value), icmp)| {
			let ported = matches!(protocol, Some(6 | 17 | 33 | 132 | 136));
			let icmp_number = if source.address().bits() == 32 { 1 } else { 58 };
			FlowSignature {
				protocol,
				source: Some(source),
				destination: None,
				source_ports: source_ports.filter(|_| ported),
				destination_ports: destination_ports.filter(|_| ported),
				tcp_flags: TcpFlags::new(mask, value & mask).filter(|_| protocol == Some(6)),
				icmp: icmp.map(|(kind, code)| IcmpMatch { kind, code }).filter(|_| protocol == Some(icmp_number)),
				packet_length: LengthRange::new(40, 60),
			}
		})
}

fn indicator() -> impl Strategy<Value = Indicator> {
	prop_oneof![
		network().prop_map(Indicator::from),
		(address(), 1..=u16::MAX)
			.prop_map(|(address, port)| { Indicator::Endpoint(Endpoint { address, protocol: Transport::Udp, port }) }),
		flow().prop_map(Indicator::Flow),
	]
}

fn terms() -> impl Strategy<Value = Terms> {
	(
		0..11usize,
		0..4usize,
		0..=100u8,
		0..3usize,
		1..=10_000_000u32,
		60..=2_592_000u32,
		option::of(any::<[u8; 32]>()),
		".{0,200}",
	)
		.prop_map(|(threat, severity, confidence, direction, rate, lifetime, evidence, note)| Terms {
			threat: ThreatClass::ALL[threat],
			severity: Severity::ALL[severity],
			confidence: Confidence::new(confidence).unwrap(),
			direction: Direction::ALL[direction],
			action: Action::RateLimit(PacketRate::new(rate).unwrap()),
			tlp: Tlp::Amber,
			lifetime: Lifetime::new(lifetime).unwrap(),
			evidence,
			note: Note::truncated(&note),
		})
}

proptest! {
	#[test]
	fn indicators_go_round(indicator in indicator()) {
		round(&indicator);
		prop_assert!(indicator.encoded_size() <= <Indicator as codec::MaxEncodedLen>::max_encoded_len());
		for network in indicator.networks() {
			prop_assert!(indicator.overlap(&[network]).is_some());
		}
	}

	#[test]
	fn terms_and_changes_go_round(terms in terms(), indicator in indicator(), seq: u64, at: u64, expires_at: u64) {
		round(&terms);
		let decision = Decision {
			indicator: indicator.clone(),
			direction: terms.direction,
			action: terms.action,
			threat: terms.threat,
			severity: terms.severity,
			confidence: terms.confidence,
			expires_at,
		};
		for kind in [
			ChangeKind::Activated(decision.clone()),
			ChangeKind::Extended(decision),
			ChangeKind::Revoked(indicator.clone()),
			ChangeKind::Expired(indicator.clone()),
		] {
			round(&Change { seq, at, previous: [7; 32], kind });
		}
		let proposal =
			Proposal { id: indicator.id(), indicator, terms, reporter: [1; 32], proposed_at: at, disputed: true };
		round(&proposal);
		let backing = Backing { trust: 800, witnesses: 2, approvals: 3 };
		round(&Shown { proposal, backing, after: Some(After { signer: [2; 32], nonce: 7 }) });
	}

	#[test]
	fn whatever_decodes_is_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
		if let Ok(indicator) = Indicator::decode(&mut &bytes[..]) {
			prop_assert!(bytes.starts_with(&indicator.encode()), "one indicator, one encoding");
		}
		if let Ok(terms) = Terms::decode(&mut &bytes[..]) {
			prop_assert!(bytes.starts_with(&terms.encode()));
			prop_assert!(!terms.note.as_str().chars().any(char::is_control));
		}
		let _ = Change::decode(&mut &bytes[..]);
		let _ = Proposal::decode(&mut &bytes[..]);
	}

	#[test]
	fn text_goes_round(network in network(), address in address()) {
		prop_assert_eq!(network.to_string().parse::<Network>().unwrap(), network);
		prop_assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
	}

	#[test]
	fn overlap_is_what_addresses_say(a in v4_network(), b in v4_network()) {
		let range = |n: &Network| {
			let Address::V4(octets) = n.address() else { unreachable!() };
			let first = u64::from(u32::from_be_bytes(octets));
			(first, first + (1u64 << (32 - n.prefix())) - 1)
		};
		let ((a1, a2), (b1, b2)) = (range(&a), range(&b));
		prop_assert_eq!(a.overlaps(&b), a1 <= b2 && b1 <= a2);
		prop_assert_eq!(a.contains(&b), a1 <= b1 && b2 <= a2);
		prop_assert_eq!(a.overlaps(&b), b.overlaps(&a));
	}
}

#[test]
fn families_do_not_overlap() {
	let (v4, v6): (Network, Network) = ("0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap());
	assert!(!v4.overlaps(&v6) && !v6.contains(&v4));
}

#[test]
fn networks_that_are_not_canonical_are_refused() {
	let v4 = |octets: [u8; 4], prefix: u8| (4u8, octets, prefix).encode();
	assert!(refusal::<Network>(&v4([198, 18, 0, 1], 24)).contains("bits set behind the prefix"));
	assert!(refusal::<Network>(&v4([198, 18, 0, 0], 33)).contains("prefix longer than the address"));
	assert!(refusal::<Network>(&[5, 1, 2, 3, 4, 8]).contains("variant"));
	assert!(refusal::<Network>(&v4([198, 18, 0, 0], 24)[..5]).contains("Not enough data"));
	let host = [&[1u8][..], &v4([198, 18, 0, 1], 32)].concat();
	assert!(refusal::<Indicator>(&host).contains("a network of one address is a host"));
}

#[test]
fn an_ipv4_address_in_ipv6_clothes_is_refused() {
	let mut mapped = [0u8; 16];
	mapped[10..].copy_from_slice(&[0xff, 0xff, 198, 18, 0, 1]);
	assert!(refusal::<Address>(&(6u8, mapped).encode()).contains("write it as IPv4"));
	assert_eq!("::ffff:198.18.0.1".parse::<Address>(), Err(AddressError::MappedV4));
	let wire: std::net::IpAddr = "::ffff:198.18.0.1".parse().unwrap();
	assert_eq!(Address::from(wire), Address::V4([198, 18, 0, 1]));
}

#[test]
fn flows_that_no_packet_matches_or_that_name_nobody_are_refused() {
	let destination: Network = "203.0.113.0/24".parse().unwrap();
	let to = |change: fn(&mut FlowSignature)| {
		let mut flow = FlowSignature { destination: Some(destination), protocol: Some(17), ..Default::default() };
		change(&mut flow);
		flow.encode()
	};
	assert!(FlowSignature::decode(&mut &to(|_| ())[..]).is_ok());
	for (flow, cause) in [
		(to(|f| f.destination = None), "names a source or a destination"),
		(to(|f| f.source = Some("2001:db8::/32".parse().unwrap())), "different families"),
		(to(|f| f.tcp_flags = TcpFlags::new(2, 2)), "TCP flags need protocol 6"),
		(to(|f| f.icmp = Some(IcmpMatch { kind: 8, code: None })), "ICMP type needs protocol"),
		(
			to(|f| {
				f.protocol = None;
				f.source_ports = PortRange::new(53, 53);
			}),
			"ports need a protocol",
		),
	] {
		let said = refusal::<FlowSignature>(&flow);
		assert!(said.contains(cause), "{said:?} does not say {cause:?}");
	}
	assert!(refusal::<PortRange>(&(9u16, 8u16).encode()).contains("runs backwards"));
	assert!(refusal::<PortRange>(&(0u16, u16::MAX).encode()).contains("covers everything"));
	assert!(refusal::<TcpFlags>(&(0u8, 0u8).encode()).contains("empty mask"));
}

#[test]
fn numbers_out_of_bounds_are_refused() {
	assert!(refusal::<Confidence>(&[101]).contains("0 to 100"));
	assert!(refusal::<Lifetime>(&59u32.encode()).contains("60 to 2,592,000"));
	assert!(refusal::<Lifetime>(&2_592_001u32.encode()).contains("60 to 2,592,000"));
	assert!(refusal::<PacketRate>(&0u32.encode()).contains("1 to 10,000,000"));
	assert!(refusal::<Endpoint>(&(Address::V4([198, 18, 0, 1]), Transport::Tcp, 0u16).encode()).contains("has a port"));
}

#[test]
fn notes_are_short_clean_text() {
	assert!(refusal::<Note>(&vec![b'n'; 129].encode()).contains("BoundedVec exceeds its limit"));
	assert!(refusal::<Note>(&vec![0xffu8].encode()).contains("UTF-8"));
	assert!(refusal::<Note>(&b"\x1b[2J".to_vec().encode()).contains("control characters"));
	assert_eq!(Note::truncated("a\nb\u{1b}c").as_str(), "abc");
	assert_eq!(Note::truncated(&"ü".repeat(100)).as_str(), "ü".repeat(64));
}

#[test]
fn wide_means_wider_than_a_customers_network() {
	let wide = |text: &str| Indicator::from(text.parse::<Network>().unwrap()).is_wide();
	assert!(wide("198.18.0.0/23") && wide("2001:db8::/47"));
	assert!(!wide("198.18.0.0/24") && !wide("2001:db8::/48") && !wide("198.18.0.1"));
	let flow = |source: Option<&str>| {
		Indicator::Flow(FlowSignature {
			source: source.map(|text| text.parse().unwrap()),
			destination: Some("203.0.113.1/32".parse().unwrap()),
			..Default::default()
		})
	};
	assert!(flow(None).is_wide() && flow(Some("198.18.0.0/16")).is_wide() && !flow(Some("198.18.0.1")).is_wide());
}
