//! What a view must show, worked out anew from a plain list of entries.

use confhub_proto::{Entry, State, wire};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The state of a service's view (empty: shared entries alone) of these
/// entries: shared ones, in whose place those of the service stand.
pub fn view_of(entries: &[wire::Entry], service: &str, prefixes: &[&str]) -> State {
    let wanted = |entry: &&wire::Entry| {
        prefixes.is_empty() || prefixes.iter().any(|prefix| entry.key.starts_with(prefix))
    };
    let mut shown = BTreeMap::new();
    for of_service in ["", service] {
        for entry in entries.iter().filter(wanted).filter(|entry| entry.service == of_service) {
            shown.insert(entry.key.clone(), entry.clone());
        }
    }
    shown.into_values().map(|entry| Arc::new(Entry::try_from(entry).unwrap())).collect()
}
