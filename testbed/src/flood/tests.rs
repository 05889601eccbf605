//! What the generator makes, read back by other code than made it.

use super::{
	craft::{ACK, MAX_FRAME, PSH, SYN},
	kinds::SOURCE_QUERY,
	*,
};
use pnet_packet::{
	ethernet::{EtherTypes, EthernetPacket},
	gre::GrePacket,
	icmp::{self, IcmpPacket},
	ip::{IpNextHeaderProtocol, IpNextHeaderProtocols},
	ipv4::{self, Ipv4Packet},
	tcp::{self, TcpPacket},
	udp::{self, UdpPacket},
	Packet,
};
use std::collections::{HashMap, HashSet};

const TARGET: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 42);

/// What a frame says.
#[derive(Debug)]
struct Read {
	source: Ipv4Addr,
	destination: Ipv4Addr,
	protocol: IpNextHeaderProtocol,
	/// Zero where there are none.
	ports: (u16, u16),
	seq: u32,
	flags: u8,
	/// In bytes; and whether more follow.
	offset: u16,
	more: bool,
	payload: Vec<u8>,
}

/// Reads an IPv4 packet; every length and checksum is right.
fn read_ipv4(bytes: &[u8]) -> Read {
	let packet = Ipv4Packet::new(bytes).expect("an IPv4 header");
	assert_eq!((packet.get_version(), packet.get_header_length()), (4, 5));
	assert_eq!(usize::from(packet.get_total_length()), bytes.len());
	assert_eq!(packet.get_checksum(), ipv4::checksum(&packet));
	assert!(packet.get_ttl() > 0);
	let (source, destination) = (packet.get_source(), packet.get_destination());
	let mut read = Read {
		source,
		destination,
		protocol: packet.get_next_level_protocol(),
		ports: (0, 0),
		seq: 0,
		flags: 0,
		offset: packet.get_fragment_offset() * 8,
		more: packet.get_flags() & 1 != 0,
		payload: packet.payload().to_vec(),
	};
	if read.offset > 0 || read.more {
		return read;
	}
	let payload = match read.protocol {
		IpNextHeaderProtocols::Udp => {
			let udp = UdpPacket::new(packet.payload()).expect("a UDP header");
			assert_eq!(usize::from(udp.get_length()), packet.payload().len());
			let sum = udp::ipv4_checksum(&udp, &source, &destination);
			assert_eq!(udp.get_checksum(), if sum == 0 { u16::MAX } else { sum });
			read.ports = (udp.get_source(), udp.get_destination());
			udp.payload().to_vec()
		}
		IpNextHeaderProtocols::Tcp => {
			let tcp = TcpPacket::new(packet.payload()).expect("a TCP header");
			assert_eq!(tcp.get_checksum(), tcp::ipv4_checksum(&tcp, &source, &destination));
			(read.ports, read.seq) = ((tcp.get_source(), tcp.get_destination()), tcp.get_sequence());
			let header = usize::from(tcp.get_data_offset()) * 4;
			// The flags are the fourteenth byte.
			read.flags = packet.payload()[13];
			packet.payload()[header..].to_vec()
		}
		IpNextHeaderProtocols::Icmp => {
			let message = IcmpPacket::new(packet.payload()).expect("an ICMP header");
			assert_eq!(message.get_checksum(), icmp::checksum(&message));
			packet.payload().to_vec()
		}
		IpNextHeaderProtocols::Gre => {
			let tunnel = GrePacket::new(packet.payload()).expect("a GRE header");
			let inside = packet.payload()[4..].to_vec();
			let inner = match tunnel.get_protocol_type() {
				0x0800 => read_ipv4(&inside),
				0x6558 => read_frame(&inside),
				other => panic!("GRE carries {other:#x}"),
			};
			assert_eq!(inner.protocol, IpNextHeaderProtocols::Udp);
			inside
		}
		other => panic!("protocol {other}"),
	};
	read.payload = payload;
	read
}

fn read_frame(frame: &[u8]) -> Read {
	assert!(frame.len() <= MAX_FRAME);
	let ethernet = EthernetPacket::new(frame).expect("an Ethernet header");
	assert_eq!(ethernet.get_ethertype(), EtherTypes::Ipv4);
	read_ipv4(ethernet.payload())
}

fn frames(plan: &Plan, seed: u64) -> Vec<(u64, Vec<u8>)> {
	Generator::new(plan.clone(), seed).expect("a plan within limits").collect()
}

fn reads(plan: &Plan) -> Vec<Read> {
	frames(plan, 7).iter().map(|(_, frame)| read_frame(frame)).collect()
}

#[test]
fn every_kind_makes_as_many_sound_frames_as_asked_in_order_of_time() {
	for kind in Kind::ALL {
		let plan = Plan { packets: 2_000, ..Plan::new(kind, TARGET) };
		let all = frames(&plan, 7);
		assert_eq!(all.len(), 2_000, "{kind:?}");
		assert!(all.is_sorted_by_key(|(at, _)| *at), "{kind:?}");
		for (_, frame) in &all {
			read_frame(frame);
		}
	}
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_gives_others() {
	for kind in Kind::ALL {
		let plan = Plan { packets: 200, ..Plan::new(kind, TARGET) };
		assert_eq!(frames(&plan, 1), frames(&plan, 1), "{kind:?}");
		assert_ne!(frames(&plan, 1), frames(&plan, 2), "{kind:?}");
	}
}

#[test]
fn every_payload_that_is_allowed_fits() {
	for kind in Kind::ALL {
		for payload in [0, 1, 7, 8, 255, MAX_PAYLOAD] {
			reads(&Plan { packets: 40, payload: Some(payload), ..Plan::new(kind, TARGET) });
		}
	}
}

#[test]
fn the_rate_is_kept_on_average() {
	for kind in [Kind::Syn, Kind::Fragments, Kind::Http, Kind::Innocent] {
		let plan = Plan { packets: 10_000, rate: 1_000, ..Plan::new(kind, TARGET) };
		let (last, _) = frames(&plan, 7).pop().expect("frames");
		assert!((9 * SECOND..12 * SECOND).contains(&last), "{kind:?}: {last}");
	}
}

#[test]
fn floods_hit_the_target_from_sources_that_are_hardly_seen_twice() {
	let floods = [Kind::Icmp, Kind::Udp, Kind::Syn, Kind::Ack, Kind::Stomp, Kind::Dns, Kind::Vse, Kind::GreIp];
	for kind in floods.into_iter().chain([Kind::GreEthernet]) {
		let all = reads(&Plan::new(kind, TARGET));
		assert!(all.iter().all(|read| read.destination == TARGET && is_public(read.source)), "{kind:?}");
		let sources: HashSet<_> = all.iter().map(|read| read.source).collect();
		assert!(sources.len() > 990, "{kind:?}: {}", sources.len());
	}
}

#[test]
fn sources_come_from_the_list_or_the_network_that_is_named() {
	let bots: Vec<Ipv4Addr> = (1..9).map(|n| Ipv4Addr::new(192, 0, 2, n)).collect();
	let listed = Plan { sources: Sources::Listed(bots.clone()), ..Plan::new(Kind::Udp, TARGET) };
	let seen: HashSet<_> = reads(&listed).iter().map(|read| read.source).collect();
	assert_eq!(seen, bots.into_iter().collect::<HashSet<_>>());
	let network = Sources::Network(Ipv4Addr::new(127, 5, 5, 5), 8);
	assert!(reads(&Plan { sources: network, ..listed.clone() }).iter().all(|read| read.source.is_loopback()));
	let (one, any) = (Sources::from(Ipv4Addr::new(192, 0, 2, 77)), Sources::Network(TARGET, 0));
	assert!(reads(&Plan { sources: one, ..listed.clone() }).iter().all(|read| read.source.octets() == [192, 0, 2, 77]));
	assert!(reads(&Plan { sources: any, ..listed }).iter().any(|read| read.source.octets()[0] != 203));
}

#[test]
fn each_flood_has_the_marks_of_its_kind() {
	let first = |kind| reads(&Plan::new(kind, TARGET)).remove(0);
	let icmp = first(Kind::Icmp);
	assert_eq!((icmp.protocol, icmp.payload[0], icmp.payload.len()), (IpNextHeaderProtocols::Icmp, 8, 64));
	assert_eq!((first(Kind::Syn).flags, first(Kind::Syn).ports.1), (SYN, 80));
	assert_eq!(first(Kind::Ack).flags, ACK);
	let stomp = first(Kind::Stomp);
	assert_eq!((stomp.flags, stomp.ports.1, stomp.payload.len()), (PSH | ACK, 61_613, 768));
	assert!(stomp.payload.starts_with(b"SEND\n"));
	let game = first(Kind::Vse);
	assert_eq!((game.ports.1, game.payload.as_slice()), (27_015, SOURCE_QUERY));
	let names: HashSet<_> =
		reads(&Plan::new(Kind::Dns, TARGET)).into_iter().map(|dns| dns.payload[12..].to_vec()).collect();
	assert_eq!(names.len(), 1_000);
	assert!(names.iter().all(|name| name.ends_with(b"\x07example\x03org\0\0\x01\0\x01") && name[0] == 12));
	let ports: HashSet<_> = reads(&Plan::new(Kind::Udp, TARGET)).iter().map(|read| read.ports.1).collect();
	assert!(ports.len() > 900, "{}", ports.len());
}

#[test]
fn reflectors_answer_from_their_ports_again_and_again() {
	let all = reads(&Plan { packets: 8_000, ..Plan::new(Kind::Amplification, TARGET) });
	let ports: HashSet<_> = all.iter().map(|read| read.ports.0).collect();
	assert_eq!(ports, Reflector::ALL.map(Reflector::port).into_iter().collect::<HashSet<_>>());
	assert_eq!(all.iter().map(|read| read.ports.1).collect::<HashSet<_>>().len(), 1);
	assert!(all.iter().map(|read| read.source).collect::<HashSet<_>>().len() <= SERVERS);
	assert!(all.iter().all(|read| read.payload.len() == if read.ports.0 == 123 { 440 } else { MAX_PAYLOAD }));
}

#[test]
fn fragments_never_become_whole() {
	let mut datagrams: HashMap<Ipv4Addr, Vec<(u16, u16)>> = HashMap::new();
	for read in reads(&Plan::new(Kind::Fragments, TARGET)) {
		assert!(read.more);
		let end = read.offset + read.payload.len() as u16;
		datagrams.entry(read.source).or_default().push((read.offset, end));
	}
	for pieces in datagrams.values() {
		assert!(pieces.windows(2).all(|pair| pair[0].1 < pair[1].0 || pair[1].0 == 0), "{pieces:?}");
	}
}

#[test]
fn scans_come_from_one_host() {
	for kind in Kind::ALL.into_iter().filter(|kind| kind.has_one_source() && !kind.talks() && *kind != Kind::BeaconTcp)
	{
		let sources: HashSet<_> = reads(&Plan::new(kind, TARGET)).into_iter().map(|read| read.source).collect();
		assert_eq!(sources.len(), 1, "{kind:?}");
	}
	let hosts: HashSet<_> =
		reads(&Plan::new(Kind::HorizontalScan, TARGET)).iter().map(|read| (read.destination, read.ports.1)).collect();
	assert_eq!(hosts.len(), 1_000);
	assert!(hosts.iter().all(|(host, port)| host.octets()[..2] == [203, 0] && *port == 23));
	let vertical = Plan { packets: 65_535, rate: 0, ..Plan::new(Kind::VerticalScan, TARGET) };
	let ports: HashSet<_> = reads(&vertical).iter().map(|read| read.ports.1).collect();
	assert_eq!(ports.len(), 65_535);
	assert!(!ports.contains(&0));
}

#[test]
fn mirai_gives_itself_away_by_its_sequence_numbers() {
	let all = reads(&Plan::new(Kind::Mirai, TARGET));
	assert!(all.iter().all(|read| read.flags == SYN && read.seq == u32::from(read.destination)));
	assert_eq!(all.iter().filter(|read| read.ports.1 == 2_323).count(), 100);
	assert_eq!(all.iter().filter(|read| read.ports.1 == 23).count(), 900);
}

#[test]
fn beacons_come_every_so_often_give_or_take_a_tenth() {
	let plan = Plan { packets: 100, interval: Duration::from_secs(10), ..Plan::new(Kind::BeaconUdp, TARGET) };
	let times: Vec<u64> = frames(&plan, 7).into_iter().map(|(at, _)| at).collect();
	let gaps: HashSet<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
	assert!(gaps.iter().all(|gap| (9 * SECOND..=11 * SECOND).contains(gap)), "{gaps:?}");
	assert!(gaps.len() > 30, "{}", gaps.len());
}

#[test]
fn a_beacon_over_tcp_opens_its_connection_once() {
	let all = reads(&Plan { packets: 100, ..Plan::new(Kind::BeaconTcp, TARGET) });
	let openings: Vec<_> = all.iter().map(|read| read.flags).take(4).collect();
	assert_eq!(openings, [SYN, SYN | ACK, ACK, PSH | ACK]);
	assert!(all.iter().skip(3).all(|read| read.flags & SYN == 0));
	assert!(all.iter().all(|read| (read.source == TARGET) != (read.destination == TARGET)));
	// Each side goes on where it stopped.
	let mut next = 1;
	for read in all.iter().skip(2).filter(|read| read.destination == TARGET) {
		assert_eq!(read.seq, next);
		next += read.payload.len() as u32;
	}
}

/// A connection by its client and server, each with its port.
type Pair = ((Ipv4Addr, u16), (Ipv4Addr, u16));

#[test]
fn conversations_shake_hands_and_lose_no_byte() {
	for kind in [Kind::Http, Kind::Telnet, Kind::Ssh, Kind::Innocent] {
		// What each side has to say next; known from its SYN on.
		let mut next: HashMap<Pair, u32> = HashMap::new();
		let mut connections = 0;
		for read in reads(&Plan { packets: 5_000, ..Plan::new(kind, TARGET) }) {
			if read.protocol != IpNextHeaderProtocols::Tcp {
				continue;
			}
			let pair = ((read.source, read.ports.0), (read.destination, read.ports.1));
			if read.flags & SYN != 0 {
				connections += u32::from(read.flags & ACK == 0);
				next.insert(pair, read.seq.wrapping_add(1));
				continue;
			}
			let expected = next.get_mut(&pair).unwrap_or_else(|| panic!("{kind:?}: nobody shook hands with {pair:?}"));
			assert_eq!(read.seq, *expected, "{kind:?}: {pair:?}");
			*expected = expected.wrapping_add(read.payload.len() as u32);
			if read.flags & craft::FIN != 0 {
				*expected = expected.wrapping_add(1);
			}
		}
		assert!(connections > 10, "{kind:?}: {connections}");
	}
}

#[test]
fn a_household_does_many_things_in_both_directions() {
	let all = reads(&Plan { packets: 20_000, ..Plan::new(Kind::Innocent, TARGET) });
	assert!(all.iter().all(|read| (read.source == TARGET) != (read.destination == TARGET)));
	for port in [53, 80, 123, 443] {
		assert!(all.iter().any(|read| read.source == TARGET && read.ports.1 == port), "asks at {port}");
		assert!(all.iter().any(|read| read.destination == TARGET && read.ports.0 == port), "hears from {port}");
	}
	let pings = |kind| {
		all.iter().filter(|read| read.protocol == IpNextHeaderProtocols::Icmp && read.payload[0] == kind).count()
	};
	assert!(pings(8) > 0 && pings(8).abs_diff(pings(0)) < 8);
}

#[test]
fn what_exceeds_a_limit_or_lacks_a_part_is_refused() {
	let plan = || Plan::new(Kind::Udp, TARGET);
	for (wrong, what) in [
		(Plan { rate: MAX_RATE + 1, ..plan() }, "packets a second"),
		(Plan { kind: Kind::Innocent, rate: MAX_TALK_RATE + 1, ..plan() }, "packets a second"),
		(Plan { packets: MAX_PACKETS + 1, ..plan() }, "packets"),
		(Plan { payload: Some(MAX_PAYLOAD + 1), ..plan() }, "bytes of payload"),
		(Plan { sources: Sources::Network(TARGET, 33), ..plan() }, "bits of the sources' prefix"),
		(Plan { domain: "a".repeat(64), ..plan() }, "bytes of the longest part of the domain"),
		(Plan { domain: "a.".repeat(101), ..plan() }, "bytes of domain"),
	] {
		let refused = Generator::new(wrong, 1).err();
		assert!(matches!(refused, Some(Refusal::Limit { what: is, .. }) if is == what), "{what}: {refused:?}");
	}
	for (wrong, what) in [
		(Plan { packets: 0, ..plan() }, "packets"),
		(Plan { sources: Sources::Listed(Vec::new()), ..plan() }, "sources"),
		(Plan { paths: Vec::new(), ..plan() }, "paths"),
		(Plan { interval: Duration::ZERO, ..plan() }, "whole second between beacons"),
	] {
		assert_eq!(Generator::new(wrong, 1).err(), Some(Refusal::Nothing(what)));
	}
}
