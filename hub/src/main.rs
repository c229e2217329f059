//! The `confhub` program.

fn main() -> std::process::ExitCode {
    confhub::cli::main()
}
