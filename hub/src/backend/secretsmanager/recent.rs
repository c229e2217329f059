//! What was hinted or written of late, which the list of secrets may not show yet.

use crate::source::Address;
use confhub_proto::TenantId;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long the list may be behind, with a margin.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html>
const BEHIND: Duration = Duration::from_secs(5 * 60 + 30);

/// Most addresses that are remembered, of all tenants. Secrets change by the day;
/// of a script that writes more within minutes, the first are found by the list.
const MOST: usize = 512;

/// When each was last hinted or written.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<HashMap<(TenantId, Address), Instant>>);

impl Recent {
    /// Remembers `addresses` for as long as the list may be behind.
    pub(super) fn note(&self, tenant: &TenantId, addresses: &[Address]) {
        let mut recent = self.fresh();
        for address in addresses {
            if recent.len() >= MOST {
                let oldest = recent.iter().min_by_key(|(_, at)| **at).map(|(key, _)| key.clone());
                oldest.and_then(|key| recent.remove(&key));
            }
            recent.insert((tenant.clone(), address.clone()), Instant::now());
        }
    }

    /// Those of one tenant.
    pub(super) fn of(&self, tenant: &TenantId) -> Vec<Address> {
        let recent = self.fresh();
        let own = recent.keys().filter(|(of, _)| of == tenant);
        own.map(|(_, address)| address.clone()).collect()
    }

    fn fresh(&self) -> MutexGuard<'_, HashMap<(TenantId, Address), Instant>> {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|_, at| at.elapsed() < BEHIND);
        recent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use confhub_proto::Key;

    #[tokio::test(start_paused = true)]
    async fn it_is_bounded_in_time_and_number_and_by_tenant() {
        let (recent, tenant) = (Recent::default(), TenantId::new("acme").unwrap());
        let address = |n: usize| Address { service: None, key: Key::new(&format!("secret_{n}")).unwrap() };
        recent.note(&tenant, &[address(0)]);
        recent.note(&TenantId::new("other").unwrap(), &[address(1)]);
        assert_eq!(recent.of(&tenant), [address(0)]);
        tokio::time::advance(BEHIND).await;
        assert!(recent.of(&tenant).is_empty());
        recent.note(&tenant, &[address(0)]);
        tokio::time::advance(Duration::from_secs(1)).await;
        for n in 1..=MOST {
            recent.note(&tenant, &[address(n)]);
        }
        let kept = recent.of(&tenant);
        assert_eq!(kept.len(), MOST);
        assert!(!kept.contains(&address(0)));
    }
}
