//! An admission for tests, on an embedded store of its own.

use super::{Admission, Policy};
use crate::backend::embedded::{Bounds, Embedded};
use crate::clock::system_clock;
use crate::config::{LimitSettings, TimeSettings};
use crate::metrics::Metrics;
use crate::source::Feed;
use std::path::Path;
use std::sync::Arc;

/// One whose records are kept in `folder`; nobody follows them yet.
pub(crate) fn on(folder: &Path, policy: Policy) -> Admission {
    let feed = Feed::default();
    let bounds = Bounds { tenant_entries: 10_000, tenant_bytes: 10_000_000 };
    let store = Embedded::open(folder, bounds, system_clock(), feed.clone()).unwrap();
    let (limits, times) = (LimitSettings::default(), TimeSettings::default());
    let metrics = Arc::new(Metrics::new("test"));
    let admission = Admission::new(Arc::new(store), policy, limits, times, system_clock(), metrics);
    feed.connect(admission.before(admission.tenants().clone()));
    admission
}

/// One that lets everybody in.
pub(crate) async fn open_to_all() -> Admission {
    let folder = tempfile::tempdir().unwrap();
    let admission = on(folder.path(), Policy { admit_unknown: true, operators: None });
    tokio::spawn(admission.clone().keep());
    assert!(admission.ready(std::time::Duration::from_secs(60)).await);
    admission
}
