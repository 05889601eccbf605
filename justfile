set shell := ["bash", "-euo", "pipefail", "-c"]

lib := ". scripts/lib.sh"

# Shows this list.
default:
	@just --list

# Installs what is missing on this machine.
setup:
	./scripts/setup

# Builds every binary.
build: setup
	{{ lib }}; build_all

# Runs all tests.
test *arguments:
	./scripts/test {{ arguments }}

# Runs the tests that take under five minutes.
test-fast *arguments:
	./scripts/test --fast {{ arguments }}

# Looks at the enforcer's page in a real browser.
test-page *arguments:
	./scripts/page-test {{ arguments }}

# Makes the Debian packages; --openwrt: the static enforcer too.
package *arguments: setup
	./scripts/package {{ arguments }}

# Everything that CI checks, tests included.
ci:
	bash .ci/run

# Lints the workspace; warnings are errors.
lint: setup
	{{ lib }}; SKIP_WASM_BUILD=1 RUSTC_WORKSPACE_WRAPPER=$(rustup which clippy-driver) CLIPPY_ARGS=-Dwarnings__CLIPPY_HACKERY__ cargo build --release --workspace --all-targets --locked

# Fuzzes what reads foreign bytes: [target|all] [seconds each]. Needs nightly Rust and cargo-fuzz.
fuzz *arguments:
	./scripts/fuzz {{ arguments }}

# Writes the sound inputs that fuzzing begins with.
fuzz-seeds: setup
	{{ lib }}; RINGFENCE_WRITE_CORPUS=1 cargo test --release --workspace --test corpus

# Formats all Rust code.
fmt:
	cargo fmt --all

# Shows an alert at one gateway drop an attacker's packets on all four.
demo *arguments:
	./scripts/demo {{ arguments }}

# Measures the chain's block and finality times. As root.
bench-finality *arguments: build
	{{ lib }}; fresh_chain_spec; "$CARGO_TARGET_DIR/release/ringfence-testbed" bench finality {{ arguments }}

# Measures how many indicators a second go through four nodes, in batches.
bench-throughput *arguments: build
	{{ lib }}; fresh_chain_spec; "$CARGO_TARGET_DIR/release/ringfence-testbed" bench throughput {{ arguments }}

# Measures how many bytes a day an enforcer costs its line while nothing happens.
bench-idle *arguments: build
	{{ lib }}; fresh_chain_spec; "$CARGO_TARGET_DIR/release/ringfence-testbed" bench idle {{ arguments }}

# Measures an enforcer with many indicators, cold and at rest, beside `nft -f`: [N]... [--node] [--seconds S]. As root.
bench-enforcer *arguments: build
	{{ lib }}; fresh_chain_spec; "$CARGO_TARGET_DIR/release/ringfence-testbed" bench enforcer {{ arguments }}

# Measures how long the worst full blocks take to import.
bench-blocks *arguments: build
	{{ lib }}; fresh_chain_spec; "$CARGO_TARGET_DIR/release/ringfence-testbed" bench blocks {{ arguments }}

# Prints what the detectors find in attacks, in innocent traffic and in recordings: [--data DIR] [--json].
table-of-detectors *arguments: setup
	{{ lib }}; build_all; "$CARGO_TARGET_DIR/release/ringfence-testbed" bench detectors {{ arguments }}

# Measures loading and changing the firewall. As root.
bench-firewall *arguments: setup
	{{ lib }}; build_all --all-targets; "$CARGO_TARGET_DIR/release/examples/bench-firewall" {{ arguments }}

# Measures what capturing packets costs: [packets]. As root.
bench-capture *arguments: setup
	{{ lib }}; build_all --all-targets; "$CARGO_TARGET_DIR/release/examples/bench-capture" {{ arguments }}

# Measures what the detectors cost for each packet: [packets].
bench-detectors *arguments: setup
	{{ lib }}; build_all --all-targets; "$CARGO_TARGET_DIR/release/examples/bench-detectors" {{ arguments }}

# Makes the committed raw spec of the `local` chain.
chain-spec:
	./scripts/chain-spec

# Measures the pallets' weights on this machine.
weights *pallets:
	./scripts/weights {{ pallets }}
