//! The `confhub` program.

/// Wipes all memory that is let go of: requests with secrets pass through buffers of
/// many libraries, which do not.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> std::process::ExitCode {
    confhub::cli::main()
}
