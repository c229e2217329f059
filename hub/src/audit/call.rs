//! One call, as far as the audit log tells of it.

use super::record::Outcome;
use crate::auth::{Identity, Role};
use crate::source::Address;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A call from its first header to its end. It stands in the extensions of the
/// request, and whoever learns something of the call adds that to it.
#[derive(Clone)]
pub struct Call(Arc<Facts>);

const NOT_DONE: u8 = 1;
const DONE: u8 = 2;

struct Facts {
    id: String,
    path: String,
    peer: Option<SocketAddr>,
    /// What was told of its end: nothing (0), [`NOT_DONE`] or [`DONE`].
    told: AtomicU8,
    known: Mutex<Known>,
}

#[derive(Default, Clone)]
pub(super) struct Known {
    pub(super) caller: Option<Identity>,
    /// Why it is refused, in a word.
    pub(super) reason: Option<&'static str>,
    /// The tenant that it is about, if that is not the caller's.
    pub(super) about_tenant: Option<String>,
    pub(super) acts: Vec<Act>,
}

/// What a call does to one thing.
#[derive(Debug, Clone, Default)]
pub struct Act {
    /// The service; empty: shared, or it is about no entry.
    pub service: String,
    /// The key, or the name of what else it is about: a revocation's id.
    pub key: String,
    /// What is done, in a word.
    pub action: &'static str,
    /// What it names and why, in words, if its key does not tell.
    pub names: String,
    /// The version: written, revealed or restored.
    pub version: Option<u64>,
}

impl Act {
    /// Something done to an entry.
    #[must_use]
    pub fn on(address: &Address, action: &'static str, version: Option<u64>) -> Self {
        let service = address.service.as_ref().map_or_else(String::new, ToString::to_string);
        Self { service, key: address.key.to_string(), action, version, ..Self::default() }
    }
}

impl Call {
    /// A call that has just come in.
    #[must_use]
    pub fn new(id: String, path: &str, peer: Option<SocketAddr>) -> Self {
        let (told, known) = (AtomicU8::new(0), Mutex::default());
        Self(Arc::new(Facts { id, path: path.to_owned(), peer, told, known }))
    }

    /// What the call is named by in logs, here and at its caller's.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The path of its method.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.path
    }

    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.0.peer
    }

    /// Says who calls.
    pub fn by(&self, identity: &Identity) {
        self.known().caller = Some(identity.clone());
    }

    /// Says why it is refused, in a word of lower case.
    pub fn because(&self, reason: &'static str) {
        self.known().reason = Some(reason);
    }

    /// Says that it is about a tenant other than the caller's, or about none that
    /// is known yet.
    pub fn about_tenant(&self, tenant: &str) {
        self.known().about_tenant = Some(tenant.to_owned());
    }

    /// Says what it is about, in place of what was said before.
    pub fn about(&self, acts: Vec<Act>) {
        self.known().acts = acts;
    }

    /// Says which versions came of what it is about, in its order.
    pub fn wrote(&self, versions: &[u64]) {
        for (act, version) in self.known().acts.iter_mut().zip(versions) {
            act.version = Some(*version);
        }
    }

    /// Writes into the log of the process, in a line, whom it lets in or shuts out, and
    /// who says so.
    pub fn log_access(&self) {
        let known = self.known().clone();
        let (Some(caller), Some(act)) = (&known.caller, known.acts.first()) else { return };
        let about = known.about_tenant.as_deref().unwrap_or(caller.tenant.as_str());
        tracing::info!(action = act.action, name = act.key, about_tenant = about, tenant = %caller.tenant,
            subject = %caller.subject, request_id = self.id(), "changed who is let in");
    }

    /// Whether its caller has shown who it is.
    #[must_use]
    pub fn is_identified(&self) -> bool {
        self.known().caller.is_some()
    }

    /// Whether its caller runs the hub, and may know of its stores.
    #[must_use]
    pub fn is_operators(&self) -> bool {
        self.known().caller.as_ref().is_some_and(|caller| caller.roles.has(Role::Operator))
    }

    /// Whether this end of it is news: nothing was told yet, or not that it was done.
    pub(super) fn is_news(&self, outcome: Outcome) -> bool {
        let told = if outcome == Outcome::Done { DONE } else { NOT_DONE };
        self.0.told.fetch_max(told, Ordering::Relaxed) < told
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
