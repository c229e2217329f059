//! The `confhub` program.

#[global_allocator]
static ALLOCATOR: confhub::memory::Allocator = confhub::memory::ALLOCATOR;

fn main() -> std::process::ExitCode {
    confhub::cli::main()
}
