//! Builds the wasm of the runtime. With `RINGFENCE_REHEARSAL` set, a second one, for rehearsing an upgrade.

#[cfg(feature = "std")]
fn main() {
	substrate_wasm_builder::WasmBuilder::build_using_defaults();
	build_rehearsal();
}

#[cfg(not(feature = "std"))]
fn main() {}

/// The wasm of the next runtime. It takes as long to build as that of this one, and only a test needs it.
#[cfg(feature = "std")]
fn build_rehearsal() {
	const FILE: &str = "wasm_binary_rehearsal.rs";
	println!("cargo:rerun-if-env-changed=RINGFENCE_REHEARSAL");
	if std::env::var_os("RINGFENCE_REHEARSAL").is_some() {
		substrate_wasm_builder::WasmBuilder::init_with_defaults()
			.enable_feature("rehearsal")
			.set_file_name(FILE)
			.build();
	} else {
		let out = std::env::var_os("OUT_DIR").expect("cargo sets it for build scripts");
		std::fs::write(std::path::Path::new(&out).join(FILE), "pub const WASM_BINARY: Option<&[u8]> = None;\n")
			.expect("cargo made the folder");
	}
}
