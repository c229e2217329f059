//! How memory is given out: by the system's allocator, which others were measured not to
//! beat (`benches/README.md`), and wiped when it comes back.

use std::alloc::System;
use zeroizing_alloc::ZeroAlloc;

/// Wipes all memory that is let go of: requests with secrets pass through buffers of
/// many libraries, which do not.
pub type Allocator = ZeroAlloc<System>;

/// The allocator of every program that serves: its `global_allocator`.
pub const ALLOCATOR: Allocator = ZeroAlloc(System);
