//! Writes at a steady rate, each holding the time at which it was due.
//!
//! Due, not sent: a writer that is held up would otherwise leave its own
//! waiting out of the latency.

use crate::args::Plan;
use crate::ledger::Totals;
use crate::report::Round;
use bytes::Bytes;
use confhub_benches::Result;
use confhub_benches::hub::Caller;
use hdrhistogram::Histogram;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

/// Writes under way at once; fewer than keys, so that no two are of one key.
const UNDER_WAY: usize = 32;

/// What tells a value of this load from what was there before.
const MARK: &str = "\"due ";

/// A value of `bytes` bytes that was due at `nanos`: a JSON text.
pub(crate) fn value(nanos: u64, bytes: usize) -> Bytes {
    let mut value = format!("{MARK}{nanos} ").into_bytes();
    value.resize(bytes.saturating_sub(1).max(value.len()), b'.');
    value.push(b'"');
    value.into()
}

/// When a value was due; `None` if it is not of this load.
pub(crate) fn due(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.strip_prefix(MARK)?;
    text.split_once(' ')?.0.parse().ok()
}

/// What was written.
pub(crate) struct Written {
    /// The last version of each key of each tenant.
    pub(crate) versions: Vec<Vec<u64>>,
    /// Deliveries that the acknowledged writes must lead to.
    pub(crate) expected: u64,
    pub(crate) refused: u64,
    /// From when a write was due to its acknowledgement, in nanoseconds.
    pub(crate) acknowledged: Histogram<u64>,
}

/// Performs the writes of a plan, and returns once all are answered.
pub(crate) async fn writes(plan: &Plan, callers: &[Caller], totals: &Rc<RefCell<Totals>>) -> Result<Written> {
    let written = Written {
        versions: vec![vec![1; plan.settings.len()]; plan.tenants],
        expected: 0,
        refused: 0,
        acknowledged: Round::latencies()?,
    };
    let written = Rc::new(RefCell::new(written));
    let places = Arc::new(Semaphore::new(UNDER_WAY));
    let mut tasks = JoinSet::new();
    let mut due = totals.borrow().now();
    for write in 0..plan.writes {
        let at = totals.borrow().at(due);
        sleep_until(at).await;
        let place = Arc::clone(&places).acquire_owned().await?;
        let (tenant, slot) = plan.target(write);
        let (caller, key) = (callers[tenant].clone(), plan.settings[slot].key.clone());
        let (value, streams) = (value(due, plan.value_bytes), plan.streams_of(tenant));
        let (written, totals) = (Rc::clone(&written), Rc::clone(totals));
        let sent = due;
        tasks.spawn_local(async move {
            let outcome = caller.put(key.as_str(), value).await;
            let mut written = written.borrow_mut();
            match outcome {
                Ok(version) => {
                    let last = &mut written.versions[tenant][slot];
                    *last = version.max(*last);
                    written.expected += streams as u64;
                    let took = totals.borrow().now().saturating_sub(sent);
                    written.acknowledged.saturating_record(took);
                }
                Err(error) => {
                    eprintln!("a write was refused: {error}");
                    written.refused += 1;
                }
            }
            drop(place);
        });
        while tasks.try_join_next().is_some() {}
        due += u64::try_from(plan.period().as_nanos())?;
    }
    while tasks.join_next().await.is_some() {}
    Ok(Rc::into_inner(written).ok_or("a write is still under way")?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_tells_when_it_was_due() {
        let value = value(123_456, 48);
        assert_eq!((value.len(), due(&value)), (48, Some(123_456)));
        assert!(serde_json::from_slice::<String>(&value).is_ok());
        assert_eq!(due(b"\"kafka:9092\""), None);
    }
}
