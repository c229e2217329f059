//! Opens the stores that the settings name.

use super::StartError;
use crate::backend::{Backend, KINDS, Opening, Router};
#[cfg(feature = "aws")]
use crate::config::Settings;
use crate::metrics::DriftCause;
use crate::source::SourceHealth;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::Instant;

/// The AWS account, if a backend is in one.
#[cfg(feature = "aws")]
pub(super) async fn open_account(settings: &Settings) -> Result<Option<crate::aws::Account>, StartError> {
    let needs_one = |(_, name): &(_, String)| KINDS.iter().any(|kind| kind.aws && kind.name == name);
    if !settings.backends.iter().any(needs_one) {
        return Ok(None);
    }
    Ok(Some(crate::aws::Account::open(&settings.aws).await?))
}

/// Tells why no hint had come of a change in a backend since a reading.
pub(super) fn drift_cause(
    source: Option<SourceHealth>,
) -> impl Fn(&'static str, Option<Instant>) -> DriftCause {
    move |backend, since| {
        // A store that is no other's sends its own hints.
        let outside = KINDS.iter().any(|kind| kind.aws && kind.name == backend);
        match &source {
            None if outside => DriftCause::NoSource,
            Some(source) if outside && since.is_some_and(|since| source.outage_since(since)) => {
                DriftCause::SourceDown
            }
            _ => DriftCause::HintLost,
        }
    }
}

/// Opens each backend that the table names, once.
pub(super) async fn open_backends(opening: &Opening<'_>) -> Result<Router, StartError> {
    let mut opened: HashMap<&str, Arc<dyn Backend>> = HashMap::new();
    let mut table = Vec::new();
    for (prefix, name) in &opening.settings.backends {
        let backend = match opened.get(name.as_str()) {
            Some(backend) => Arc::clone(backend),
            None => {
                let kind = KINDS.iter().find(|kind| kind.name == name);
                let kind =
                    kind.ok_or_else(|| StartError::Store(format!("there is no backend `{name}`").into()))?;
                let backend = (kind.open)(opening).await.map_err(StartError::Store)?;
                opened.insert(kind.name, Arc::clone(&backend));
                backend
            }
        };
        table.push((prefix.clone(), backend));
    }
    Ok(Router::new(table))
}
