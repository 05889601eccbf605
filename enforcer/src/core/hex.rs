//! Bytes as `0x…`, the only way in which the chain's RPC, the config and the state file write them.

use ringfence_primitives::Digest;

/// Why a text is not bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HexError {
	/// It does not begin with `0x`.
	#[error("hexadecimal begins with 0x")]
	NoPrefix,
	/// A half byte, or a character that is no hexadecimal digit.
	#[error("not pairs of hexadecimal digits")]
	Digits,
	/// A hash of another length.
	#[error("a hash has 64 hexadecimal digits")]
	Length,
	/// More bytes than are taken.
	#[error("more than {0} bytes")]
	TooLong(usize),
}

/// `0x` and two lower-case digits a byte.
pub fn encode(bytes: &[u8]) -> String {
	sp_core::bytes::to_hex(bytes, false)
}

/// The bytes of `text`.
pub fn decode(text: &str) -> Result<Vec<u8>, HexError> {
	let digits = text.strip_prefix("0x").ok_or(HexError::NoPrefix)?.as_bytes();
	if digits.len() % 2 != 0 {
		return Err(HexError::Digits);
	}
	let value = |digit: u8| char::from(digit).to_digit(16).ok_or(HexError::Digits);
	// Two digits make at most 255.
	digits.chunks_exact(2).map(|pair| Ok((value(pair[0])? * 16 + value(pair[1])?) as u8)).collect()
}

/// The bytes of `text`, if they are `max` at most. What is longer is not looked at.
pub fn decode_up_to(text: &str, max: usize) -> Result<Vec<u8>, HexError> {
	if text.len() / 2 > max + 1 {
		return Err(HexError::TooLong(max));
	}
	let bytes = decode(text)?;
	match bytes.len() {
		length if length > max => Err(HexError::TooLong(max)),
		_ => Ok(bytes),
	}
}

/// The hash that `text` writes.
pub fn digest(text: &str) -> Result<Digest, HexError> {
	decode(text)?.try_into().map_err(|_| HexError::Length)
}

/// For `#[serde(with = "hex::serde_digest")]`.
pub mod serde_digest {
	use super::Digest;
	use serde::{de::Error, Deserialize, Deserializer, Serializer};

	/// Writes `0x…`.
	pub fn serialize<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
		serializer.serialize_str(&super::encode(digest))
	}

	/// Reads `0x…`.
	pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
		super::digest(&String::deserialize(deserializer)?).map_err(D::Error::custom)
	}
}

/// For `#[serde(default, with = "hex::serde_optional_digest")]`.
pub mod serde_optional_digest {
	use super::Digest;
	use serde::{de::Error, Deserialize, Deserializer, Serializer};

	/// Writes `0x…` or null.
	pub fn serialize<S: Serializer>(digest: &Option<Digest>, serializer: S) -> Result<S::Ok, S::Error> {
		match digest {
			Some(digest) => serializer.serialize_some(&super::encode(digest)),
			None => serializer.serialize_none(),
		}
	}

	/// Reads `0x…` or null.
	pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Digest>, D::Error> {
		let text = Option::<String>::deserialize(deserializer)?;
		text.map(|text| super::digest(&text)).transpose().map_err(D::Error::custom)
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn bytes_go_there_and_back() {
		for bytes in [&[][..], &[0], &[0, 1, 0xfe, 0xff]] {
			assert_eq!(decode(&encode(bytes)).as_deref(), Ok(bytes));
		}
		assert_eq!(encode(&[0, 0xab]), "0x00ab");
		assert_eq!(decode("0xAb"), Ok(vec![0xab]));
	}

	#[test]
	fn what_is_not_hexadecimal_is_refused() {
		assert_eq!(decode("ab"), Err(HexError::NoPrefix));
		assert_eq!(decode("0xa"), Err(HexError::Digits));
		assert_eq!(decode("0xag"), Err(HexError::Digits));
		assert_eq!(decode("0xé"), Err(HexError::Digits));
		assert_eq!(digest("0x00"), Err(HexError::Length));
		assert_eq!(decode_up_to("0x0102", 2), Ok(vec![1, 2]));
		assert_eq!(decode_up_to("0x010203", 2), Err(HexError::TooLong(2)));
		assert_eq!(decode_up_to(&"0".repeat(1_000), 2), Err(HexError::TooLong(2)));
	}
}
