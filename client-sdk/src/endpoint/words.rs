//! Errors of a connection, in words.

use std::error::Error;

/// What the libraries below say, and what it means to whoever has to put it right.
/// The outermost layers lose the types of what lies below, so the texts are all
/// there is; a promise from outside keeps each of these true.
const MEANINGS: &[(&str, &str)] = &[
    ("UnknownIssuer", "the hub's certificate is signed by no CA that is trusted here"),
    ("certificate: BadSignature", "the hub's certificate is signed by no CA that is trusted here"),
    ("certificate not valid for name", "the hub's certificate is for another name"),
    ("certificate expired", "the hub's certificate has expired"),
    ("certificate not valid yet", "the hub's certificate is not valid yet"),
    ("CaUsedAsEndEntity", "the hub's certificate is a CA's, and no server's"),
    ("CertificateRequired", "the hub asks for a client certificate"),
    ("fatal alert: UnknownCA", "the hub does not trust the CA of the client certificate"),
    ("fatal alert: DecryptError", "the hub does not trust the CA of the client certificate"),
    ("fatal alert: CertificateExpired", "the client certificate has expired"),
    ("fatal alert: BadCertificate", "the hub does not take the client certificate"),
    (
        "fatal alert: UnsupportedCertificate",
        "the hub does not take the client certificate: is it one for clients, and not a server's?",
    ),
    ("InvalidContentType", "what answers there speaks no TLS: is it http://?"),
    ("this port speaks TLS", "the hub speaks TLS: use https://"),
];

/// An error with its causes: the outermost alone says only "transport error".
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    meaning(text)
}

/// What lies at the bottom of an error of a connection, and what it means where
/// that is known: a certificate of another CA, a client certificate that is
/// missing, TLS at one end alone.
#[must_use]
pub fn explain(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    meaning(cause.to_string())
}

fn meaning(text: String) -> String {
    match MEANINGS.iter().find(|(said, _)| text.contains(said)) {
        Some((_, meant)) => format!("{meant} ({text})"),
        None => text,
    }
}
