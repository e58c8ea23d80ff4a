//! Parse, run, exit code: everything is in the library.

fn main() -> std::process::ExitCode {
    nxs_backup::cli::main()
}
