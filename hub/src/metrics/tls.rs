//! What is counted of TLS.

use super::{Labelled, Outcome, OutcomeLabel, RefusalLabel};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What is counted of TLS.
pub struct TlsMetrics {
    /// When the certificate in force expires, in seconds since the Unix epoch; 0:
    /// there is none.
    pub expiry: Gauge,
    /// Changes of the certificate's files that were taken (done), were no good
    /// (refused), or could not be read (failed).
    pub reloads: Labelled<OutcomeLabel>,
    /// Handshakes that failed, by reason.
    pub handshake_failures: Labelled<RefusalLabel>,
}

impl TlsMetrics {
    pub(super) fn new() -> Self {
        Self { expiry: Gauge::default(), reloads: Family::default(), handshake_failures: Family::default() }
    }

    pub(super) fn register(&self, r: &mut Registry) {
        let about = "When the TLS certificate in force expires, in seconds since the Unix epoch (0: no TLS)";
        r.register("tls_certificate_expiry_timestamp_seconds", about, self.expiry.clone());
        let about = "New TLS certificates that were taken (done), were no good (refused) or could not be read (failed)";
        r.register("tls_reloads", about, self.reloads.clone());
        let about = "TLS handshakes that failed, by reason";
        r.register("tls_handshake_failures", about, self.handshake_failures.clone());
        for outcome in Outcome::ALL.iter().copied() {
            let _ = self.reloads.get_or_create(&OutcomeLabel { outcome });
        }
        for reason in crate::tls::REASONS {
            let _ = self.handshake_failures.get_or_create(&RefusalLabel { reason });
        }
    }
}
