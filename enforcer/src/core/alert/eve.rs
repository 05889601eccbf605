//! The lines of a Suricata EVE log, or of its EVE socket: one JSON record each.
//!
//! The only format that tells whether the source answered: Suricata had read a stream, to know an application's protocol or
//! that it is none, or a transaction of it; and where it counted packets, it did so in both directions.
//!
//! # Security considerations
//!
//! Counts alone prove nothing: a server answers a forged SYN, and answers it again when nothing comes. A stream is read only
//! once the handshake is complete, unless `stream.midstream` or `stream.async-oneside` is switched on in Suricata, which they
//! are not by themselves.

use super::{address, text, Alert, AlertError, Format};
use crate::core::blake2_256;
use serde::Deserialize;

#[derive(Deserialize)]
struct Kind {
	event_type: String,
}

#[derive(Deserialize)]
struct RawEvent {
	timestamp: String,
	src_ip: String,
	src_port: Option<u16>,
	dest_ip: String,
	dest_port: Option<u16>,
	proto: String,
	flow: Option<RawFlow>,
	tx_id: Option<u64>,
	app_proto: Option<String>,
	alert: RawAlert,
}

#[derive(Deserialize)]
struct RawFlow {
	#[serde(default)]
	pkts_toserver: u64,
	#[serde(default)]
	pkts_toclient: u64,
}

#[derive(Deserialize)]
struct RawAlert {
	signature_id: u64,
	#[serde(default)]
	signature: String,
	#[serde(default)]
	category: String,
	severity: u8,
	#[serde(default)]
	action: String,
}

/// Reads one line. None: an empty line, or an event of another type.
pub fn parse(line: &[u8]) -> Result<Option<Alert>, AlertError> {
	let text = text(line)?;
	// Other types share few fields with alerts, so the type is looked at first: the log is mostly flows and statistics.
	if text.is_empty() || serde_json::from_str::<Kind>(text)?.event_type != "alert" {
		return Ok(None);
	}
	let event: RawEvent = serde_json::from_str(text)?;
	Ok(Some(Alert {
		format: Format::Eve,
		source: address(&event.src_ip).ok_or(AlertError::Address("src_ip"))?,
		destination: address(&event.dest_ip).ok_or(AlertError::Address("dest_ip"))?,
		timestamp: event.timestamp,
		source_port: event.src_port,
		destination_port: event.dest_port,
		protocol: event.proto,
		answered: match event.flow {
			Some(flow) => {
				let read = event.app_proto.is_some() || event.tx_id.is_some();
				read && flow.pkts_toserver > 0 && flow.pkts_toclient > 0
			}
			None => event.tx_id.is_some(),
		},
		signature_id: event.alert.signature_id,
		signature: event.alert.signature,
		category: event.alert.category,
		severity: event.alert.severity,
		action: event.alert.action,
		evidence: blake2_256(line),
	}))
}
