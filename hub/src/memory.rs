//! How memory is given out, and what becomes of it when it comes back.

use mimalloc::MiMalloc;
use zeroizing_alloc::ZeroAlloc;

/// Wipes all memory that is let go of: requests with secrets pass through buffers of
/// many libraries, which do not. Below that is the allocator of those measured
/// (`benches/README.md`) that holds the least of many connections and opens them at the
/// least cost.
pub type Allocator = ZeroAlloc<MiMalloc>;

/// The allocator of every program that serves: its `global_allocator`.
pub const ALLOCATOR: Allocator = ZeroAlloc(MiMalloc);
