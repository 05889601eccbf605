# Sourced by the other scripts: where things are, what every build shares, and how to talk.
# It sets no shell options and installs nothing (scripts/setup does).

RINGFENCE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export RINGFENCE_ROOT

# Where `cargo install` puts things, should the shell not look there yet.
case ":$PATH:" in
*":${CARGO_HOME:-$HOME/.cargo}/bin:"*) ;;
*) export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin" ;;
esac
# Outside the checkout, so that every clone on a machine shares one build of the SDK.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$HOME/.cache/ringfence/target}
# Use the system's OpenSSL: building the vendored one takes five minutes.
export OPENSSL_NO_VENDOR=1
# With the target folder outside the checkout, the wasm build needs to be told where Cargo.lock is.
export WASM_BUILD_WORKSPACE_HINT=$RINGFENCE_ROOT
# Builds the runtime a second time, as its own next version, for the test that upgrades a running chain to it.
export RINGFENCE_REHEARSAL=1
# Real captures, lists and alerts for the tests that want them, where they lie beside the checkout.
if [ -z "${RINGFENCE_DATA:-}" ] && [ -d "$RINGFENCE_ROOT/../shared/data" ]; then
	RINGFENCE_DATA=$(cd "$RINGFENCE_ROOT/../shared/data" && pwd)
	export RINGFENCE_DATA
fi

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo -- "$@"
	else
		die "needs root for: $*. Run it as root, or install sudo."
	fi
}

# The wasm standard library that scripts/setup builds from the distribution's Rust sources, where rustup has none to give.
DISTRO_TOOLCHAIN=distro
DISTRO_WASM=/usr/lib/rustlib/wasm32v1-none

has_wasm_core() { compgen -G "$1/lib/libcore-*.rlib" >/dev/null; }

# Whether the pinned toolchain itself can build for wasm.
rustup_has_wasm() {
	local sysroot
	sysroot=$(cd "$RINGFENCE_ROOT" && rustc --print sysroot 2>/dev/null) && has_wasm_core "$sysroot/lib/rustlib/wasm32v1-none"
}

# Whether the distribution's toolchain can, and rustup knows it.
distro_has_wasm() { has_wasm_core "$DISTRO_WASM" && [ -e "${RUSTUP_HOME:-$HOME/.rustup}/toolchains/$DISTRO_TOOLCHAIN" ]; }

# Chooses the toolchain for the runtime's wasm: the pinned one where it can.
choose_wasm_toolchain() {
	if [ -n "${WASM_BUILD_TOOLCHAIN:-}" ] || ! distro_has_wasm; then return; fi
	if [ "${RINGFENCE_WASM:-}" = distro ] || ! rustup_has_wasm; then
		export WASM_BUILD_TOOLCHAIN=$DISTRO_TOOLCHAIN
	fi
}
choose_wasm_toolchain

# Builds every binary. Always the whole workspace: another selection of packages has cargo unify features anew and
# build hundreds of crates again.
build_all() {
	# Set-up may have run since this file was read.
	choose_wasm_toolchain
	if [ -x "$CARGO_TARGET_DIR/release/ringfence-node" ]; then
		say "building what changed"
	else
		say "building everything: the first time this takes half an hour on two cores"
	fi
	(cd "$RINGFENCE_ROOT" && cargo build --release --workspace --locked "$@")
}

# The raw spec that the demo and the tests start nodes from: made from the node just built, so that it never lags the runtime.
fresh_chain_spec() {
	"$RINGFENCE_ROOT/scripts/chain-spec" --if-stale || return
	export RINGFENCE_CHAIN_SPEC="$CARGO_TARGET_DIR/chain-specs/local.raw.json"
}
