//! Chain specifications: the runtime's presets, or a file.

use ringfence_runtime::{presets, WASM_BINARY};
use sc_service::ChainType;

/// A chain specification.
pub type ChainSpec = sc_service::GenericChainSpec;

/// The specification named `id`: `dev`, `local`, or the path of a file.
pub fn load(id: &str) -> Result<Box<dyn sc_service::ChainSpec>, String> {
	match id {
		presets::DEV => preset("Ringfence Development", presets::DEV, ChainType::Development),
		"" | presets::LOCAL => preset("Ringfence Local", presets::LOCAL, ChainType::Local),
		path => Ok(Box::new(ChainSpec::from_json_file(path.into())?)),
	}
}

fn preset(name: &str, id: &str, chain_type: ChainType) -> Result<Box<dyn sc_service::ChainSpec>, String> {
	let wasm =
		WASM_BINARY.ok_or("this node was built without a runtime (SKIP_WASM_BUILD): it can only use a raw spec")?;
	let spec = ChainSpec::builder(wasm, None)
		.with_name(name)
		.with_id(&format!("ringfence_{id}"))
		.with_protocol_id("ringfence")
		.with_chain_type(chain_type)
		.with_genesis_config_preset_name(id)
		.build();
	Ok(Box::new(spec))
}
