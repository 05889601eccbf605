//! What the household calls its devices: the names that they gave when they asked for an address.
//!
//! # Security considerations
//!
//! Any device on the local network chooses its own name, and may choose another's. Names are cut and cleaned, shown
//! beside the address, and used for nothing else.

use ringfence_primitives::Address;
use std::{collections::HashMap, fs::File, io::Read, path::Path};

/// Where dnsmasq keeps its leases: OpenWrt's place, and Debian's.
const LEASES: [&str; 2] = ["/tmp/dhcp.leases", "/var/lib/misc/dnsmasq.leases"];
/// Octets read of a file of leases: some three thousand devices.
const LIMIT: u64 = 256 * 1024;
/// Characters of a name; a label of the DNS has no more.
const NAME: usize = 63;

/// The names by address, as far as any are known.
pub(super) fn names() -> HashMap<Address, String> {
	LEASES.iter().filter_map(|path| read(Path::new(path))).flat_map(|text| parse(&text)).collect()
}

fn read(path: &Path) -> Option<String> {
	let mut bytes = Vec::new();
	File::open(path).ok()?.take(LIMIT).read_to_end(&mut bytes).ok()?;
	Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Lines of `expiry hardware-address address name client-id`, where `*` stands for no name. Others are passed over.
fn parse(text: &str) -> Vec<(Address, String)> {
	text.lines()
		.filter_map(|line| {
			let mut words = line.split_ascii_whitespace().skip(2);
			let address = words.next()?.parse().ok()?;
			let name = words.next().filter(|name| *name != "*")?;
			let name: String = name.chars().filter(|c| c.is_alphanumeric() || "-_.".contains(*c)).take(NAME).collect();
			(!name.is_empty()).then_some((address, name))
		})
		.collect()
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn leases_name_devices() {
		let text = "1700000000 aa:bb:cc:dd:ee:01 192.168.1.23 living-room-tv 01:aa\n\
			1700000000 aa:bb:cc:dd:ee:02 192.168.1.24 * *\n\
			duid 00:01\n\
			1700000000 123 fd00::7 <b>phone</b> 00:01\n";
		let named = parse(text);
		assert_eq!(named[0], ("192.168.1.23".parse().unwrap(), "living-room-tv".into()));
		assert_eq!(named[1], ("fd00::7".parse().unwrap(), "bphoneb".into()));
		assert_eq!(named.len(), 2);
	}

	#[test]
	fn a_name_is_cut() {
		let line = format!("1 aa 192.168.1.2 {} *", "x".repeat(1_000));
		assert_eq!(parse(&line)[0].1.len(), NAME);
	}
}
