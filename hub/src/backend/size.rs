//! An end to readings of tenants that are far too large.

use super::BackendError;
use crate::config::LimitSettings;
use confhub_proto::{Entry, TenantId};

/// What a tenant has beyond this many times its limits is not read to its end: it
/// is too large in any case, and memory is everybody's.
pub(super) const TOO_LARGE: usize = 4;

/// How much of a tenant has been read.
pub(super) struct Tally<'a> {
    kind: &'static str,
    tenant: &'a TenantId,
    limits: &'a LimitSettings,
    entries: usize,
    bytes: usize,
}

impl<'a> Tally<'a> {
    pub(super) fn new(kind: &'static str, tenant: &'a TenantId, limits: &'a LimitSettings) -> Self {
        Self { kind, tenant, limits, entries: 0, bytes: 0 }
    }

    /// Counts what has been read in addition, and ends the reading if it is too much.
    pub(super) fn add<'e>(&mut self, read: impl IntoIterator<Item = &'e Entry>) -> Result<(), BackendError> {
        for entry in read {
            self.entries += 1;
            self.bytes += entry.size();
        }
        let (entries, bytes) = (self.limits.tenant_entries, self.limits.tenant_bytes);
        if self.entries > entries.saturating_mul(TOO_LARGE) || self.bytes > bytes.saturating_mul(TOO_LARGE) {
            let reason = format!(
                "the tenant `{}` has more than {TOO_LARGE} times what `limits.tenant-entries` ({entries}) and \
                 `limits.tenant-bytes` ({bytes}) allow: delete what it does not need",
                self.tenant
            );
            return Err(BackendError::Damaged { kind: self.kind, reason });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use confhub_proto::{Content, Key};
    use std::time::SystemTime;

    #[test]
    fn a_reading_ends_at_four_times_either_limit() {
        let content = Content { value: vec![b'x'; 9].into(), content_type: "".into(), secret: false };
        // Ten bytes.
        let entry = Entry::new(Key::new("k").unwrap(), None, content, 1, SystemTime::UNIX_EPOCH);
        let tenant = TenantId::new("acme").unwrap();
        for (entries, bytes) in [(2, 1_000), (1_000, 20)] {
            let mut limits = Settings::default().limits;
            (limits.tenant_entries, limits.tenant_bytes) = (entries, bytes);
            let mut tally = Tally::new("x", &tenant, &limits);
            for _ in 0..8 {
                tally.add([&entry]).unwrap();
            }
            assert!(tally.add([&entry]).unwrap_err().to_string().contains("`acme` has more than 4 times"));
        }
    }
}
