//! The kinds of backends that there are: one line each.

#[cfg(feature = "aws")]
use super::dynamodb;
use super::{Backend, embedded};
use crate::clock::Clock;
use crate::config::Settings;
use crate::metrics::Metrics;
use crate::source::Feed;
use futures_util::future::BoxFuture;
use std::error::Error;
use std::sync::Arc;

/// What a backend is opened with.
pub struct Opening<'a> {
    /// The settings.
    pub settings: &'a Settings,
    /// What time it is.
    pub clock: &'a Clock,
    /// Where hints go.
    pub feed: &'a Feed,
    /// What is counted.
    pub metrics: &'a Arc<Metrics>,
    /// The AWS account, for those that need one.
    #[cfg(feature = "aws")]
    pub account: Option<&'a crate::aws::Account>,
}

/// A backend, or why it cannot be opened.
pub type Opened = Result<Arc<dyn Backend>, Box<dyn Error + Send + Sync>>;

/// One kind of backend.
pub struct Kind {
    /// What the settings call it.
    pub name: &'static str,
    /// Whether it is in an AWS account.
    pub aws: bool,
    /// Opens it.
    pub open: for<'a> fn(&'a Opening<'a>) -> BoxFuture<'a, Opened>,
}

/// All kinds of backends that this build has.
pub static KINDS: &[Kind] = &[
    Kind { name: embedded::KIND, aws: false, open: |opening| Box::pin(embedded::open(opening)) },
    #[cfg(feature = "aws")]
    Kind { name: dynamodb::KIND, aws: true, open: |opening| Box::pin(dynamodb::open(opening)) },
];

/// Their names.
#[must_use]
pub fn names() -> Vec<&'static str> {
    KINDS.iter().map(|kind| kind.name).collect()
}
