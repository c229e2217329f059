//! Whether a backend is still in use.

use super::{BackendError, Cause};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a backend whose store is elsewhere is still in use. What is on its way
/// when it is closed ends by itself.
#[derive(Debug, Default)]
pub(super) struct Closed(AtomicBool);

impl Closed {
    pub(super) fn close(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(super) fn check(&self, kind: &'static str) -> Result<(), BackendError> {
        if self.0.load(Ordering::Acquire) {
            let reason = "this hub has closed it".to_owned();
            return Err(BackendError::Unavailable { kind, cause: Cause::Failed, reason });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_closed_says_so() {
        let closed = Closed::default();
        closed.check("x").unwrap();
        closed.close();
        assert!(closed.check("x").unwrap_err().to_string().contains("closed"));
    }
}
