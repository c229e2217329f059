//! Why a handshake failed, in one word of a fixed set.

use std::io;
use tokio_rustls::rustls::Error;

/// The peer has spoken, and not TLS.
pub(super) const PLAINTEXT: &str = "plaintext";

/// The peer was too slow.
pub(super) const TIMEOUT: &str = "timeout";

/// All that there are, so that a rate sees the first of each.
pub(crate) const REASONS: [&str; 9] = [
    PLAINTEXT,
    TIMEOUT,
    "closed",
    "no-certificate",
    "bad-certificate",
    "no-http2",
    "incompatible",
    "refused-by-peer",
    "malformed",
];

/// The reason of an error.
pub(super) fn reason(error: &io::Error) -> &'static str {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        None if error.kind() == io::ErrorKind::TimedOut => TIMEOUT,
        None => "closed",
        Some(Error::NoCertificatesPresented) => "no-certificate",
        Some(Error::InvalidCertificate(_)) => "bad-certificate",
        // No certificate is found for who does not say that it speaks HTTP/2.
        Some(Error::NoApplicationProtocol | Error::General(_)) => "no-http2",
        Some(Error::PeerIncompatible(_)) => "incompatible",
        Some(Error::AlertReceived(_)) => "refused-by-peer",
        Some(_) => "malformed",
    }
}
