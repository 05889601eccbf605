//! How long the firewall takes to load many elements, and then to change one, beside `nft -f`.
//!
//! `bench-firewall [ELEMENTS]` (100,000 where not given), as root. Everything happens in a network namespace of this
//! process alone. A ratio says how many times longer `nft` takes: the times depend on the machine, the ratios hardly do.

use ringfence_enforcer::{
	core::ruleset::{Action, Address, Command, Direction, Network, Target},
	daemon::firewall::{Exempt, Firewall},
};
use std::{
	error::Error,
	io::{self, Write},
	process,
	time::{Duration, Instant},
};

const HOUR: u64 = 3_600_000;
/// One change of ours is over in microseconds, so its median is taken over many; one of `nft` takes milliseconds.
const CHANGES: u32 = 1_000;
const NFT_CHANGES: u32 = 20;

fn address(i: u32) -> [u8; 4] {
	(0x0a00_0000 | i).to_be_bytes()
}

fn target(i: u32) -> Target {
	Target::Network(Network::host(Address::V4(address(i))))
}

fn block(i: u32) -> Command {
	Command::Block { target: target(i), direction: Direction::Both, action: Action::Drop, timeout_ms: HOUR }
}

fn median(mut times: Vec<Duration>) -> Duration {
	times.sort();
	times[times.len() / 2]
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
	let start = Instant::now();
	let result = work();
	(start.elapsed(), result)
}

fn nft(script: &str) -> Result<Duration, Box<dyn Error>> {
	let (took, status) = timed(|| {
		let mut child = process::Command::new("nft").args(["-f", "-"]).stdin(process::Stdio::piped()).spawn()?;
		child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(script.as_bytes()))?;
		child.wait()
	});
	match status?.success() {
		true => Ok(took),
		false => Err("nft failed".into()),
	}
}

fn report(what: &str, ours: Duration, nft: Duration) {
	let ratio = nft.as_secs_f64() / ours.as_secs_f64();
	println!("{what:<28} {ours:>12.1?} {nft:>12.1?} {ratio:>9.1}");
}

fn main() -> Result<(), Box<dyn Error>> {
	let elements: u32 = std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse())?;
	if elements == 0 || elements >= 1 << 21 {
		return Err("1 to 2,097,151 elements".into());
	}
	// SAFETY: no pointers are passed; this process has one thread, whose network it replaces.
	if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
		return Err(format!("a network namespace: {}", io::Error::last_os_error()).into());
	}

	let commands: Vec<_> = (0..elements).map(block).collect();
	let (mut firewall, _) = Firewall::open(0, &Exempt::default())?;
	let (load, result) = timed(|| firewall.apply(&commands));
	result?;
	let (again, result) = timed(|| firewall.apply(&commands));
	result?;
	let mut changes = Vec::new();
	for i in 0..CHANGES {
		let (took, result) = timed(|| {
			firewall.apply(&[Command::Unblock { target: target(i % elements) }])?;
			firewall.apply(&[block(i % elements)])
		});
		result?;
		changes.push(took / 2);
	}
	let (look, intact) = timed(|| firewall.is_intact());
	assert!(intact?, "the table is whole");
	firewall.remove()?;

	let dotted = |i| std::net::Ipv4Addr::from(address(i)).to_string();
	nft("add table inet x\nadd set inet x s { type ipv4_addr; flags timeout; gc-interval 60s; }\n")?;
	let list: Vec<_> = (0..elements).map(|i| format!("{} timeout 1h", dotted(i))).collect();
	let nft_load = nft(&format!("add element inet x s {{ {} }}\n", list.join(", ")))?;
	let mut nft_changes = Vec::new();
	for i in 0..NFT_CHANGES {
		let peer = dotted(i % elements);
		let remove = nft(&format!("delete element inet x s {{ {peer} }}\n"))?;
		nft_changes.push((remove + nft(&format!("add element inet x s {{ {peer} timeout 1h }}\n"))?) / 2);
	}

	println!("{:<28} {:>12} {:>12} {:>9}", "", "ringfence", "nft -f", "ratio");
	report(&format!("load {elements}"), load, nft_load);
	report("load them again", again, nft_load);
	report("change one", median(changes), median(nft_changes));
	println!("{:<28} {look:>12.1?}", "is it intact");
	Ok(())
}
