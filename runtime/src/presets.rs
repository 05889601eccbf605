//! Genesis presets: `dev`, one ISP, and `local`, four ISPs with a subscriber each and one researcher.
//!
//! Both use the keys of the well-known development phrase: never use them where anything is at stake.

use crate::{AccountId, SessionKeys};
use alloc::{vec, vec::Vec};
use hex_literal::hex;
use serde_json::{json, Value};
use sp_genesis_builder::PresetId;
use sp_keyring::{Ed25519Keyring, Sr25519Keyring};

/// One ISP, `//Alice`.
pub const DEV: &str = "dev";
/// ISPs A to D, `//Alice` (the leader), `//Bob`, `//Charlie` and `//Dave`, each with the subscriber `//Alice//home` and so
/// on, and the researcher `//Researcher`.
pub const LOCAL: &str = "local";

/// The ISPs of the presets, in order.
const ISPS: [(Sr25519Keyring, Ed25519Keyring); 4] = [
	(Sr25519Keyring::Alice, Ed25519Keyring::Alice),
	(Sr25519Keyring::Bob, Ed25519Keyring::Bob),
	(Sr25519Keyring::Charlie, Ed25519Keyring::Charlie),
	(Sr25519Keyring::Dave, Ed25519Keyring::Dave),
];

/// `//Alice//home`, `//Bob//home`, `//Charlie//home`, `//Dave//home`.
const HOMES: [[u8; 32]; 4] = [
	hex!("4e82a34b28ff502fc71603d55eeb55133c774064647ca6787393aad1a143bd6a"),
	hex!("3082cd9fc92b958f6dc4bf5d258cac6eb438a0ee6a7c51b95727af449e863b00"),
	hex!("4445bd8c099bbd41093620fc6b3b64222722206eeae1f16d27ee48b60cf19326"),
	hex!("4a4d785c95da67e40eeab6704557d7ce9ab57713331849ca29a4325cc8ba656f"),
];

/// `//Researcher`.
const RESEARCHER: [u8; 32] = hex!("1efc171aa7bbee2e52e2d8597f91ee18146ae1179ec1c001e63281c5e1e2a47e");

/// What no chain blocks: private, shared, local, multicast and reserved networks (the IANA special-purpose registries).
const RESERVED: [&str; 16] = [
	"0.0.0.0/8",
	"10.0.0.0/8",
	"100.64.0.0/10",
	"127.0.0.0/8",
	"169.254.0.0/16",
	"172.16.0.0/12",
	"192.0.0.0/24",
	"192.88.99.0/24",
	"192.168.0.0/16",
	"224.0.0.0/4",
	"240.0.0.0/4",
	"::/96",
	"64:ff9b::/96",
	"fc00::/7",
	"fe80::/10",
	"ff00::/8",
];

fn genesis(isps: usize) -> Value {
	let isps = &ISPS[..isps];
	let accounts: Vec<AccountId> = isps.iter().map(|(account, _)| account.to_account_id()).collect();
	let keys: Vec<(AccountId, AccountId, SessionKeys)> = isps
		.iter()
		.map(|(sr, ed)| {
			let keys = SessionKeys { aura: sr.public().into(), grandpa: ed.public().into() };
			(sr.to_account_id(), sr.to_account_id(), keys)
		})
		.collect();
	let alone = isps.len() == 1;
	let subscribers: Vec<(AccountId, AccountId)> = accounts.iter().cloned().zip(HOMES.map(AccountId::from)).collect();
	let researchers = vec![AccountId::from(RESEARCHER)];
	json!({
		"tiers": {
			"isps": accounts,
			"subscribers": if alone { vec![] } else { subscribers },
			"researchers": if alone { vec![] } else { researchers },
		},
		"session": { "keys": keys },
		"indicators": { "protected": RESERVED },
	})
}

/// The preset named `id`, as a patch of the default genesis.
pub fn get(id: &PresetId) -> Option<Vec<u8>> {
	let patch = match id.as_str() {
		DEV => genesis(1),
		LOCAL => genesis(ISPS.len()),
		_ => return None,
	};
	serde_json::to_vec(&patch).ok()
}

/// The names of all presets.
pub fn names() -> Vec<PresetId> {
	vec![DEV.into(), LOCAL.into()]
}
