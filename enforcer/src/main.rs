//! `ringfence-enforcer`: see [`ringfence_enforcer`].

fn main() -> std::process::ExitCode {
	ringfence_enforcer::daemon::cli::main()
}
