//! Mistakes that only show between settings.

mod aws;

use super::error::{ConfigError, did_you_mean};
use super::{Loaded, Source};
use crate::limits;

/// Adds the mistakes between settings to `errors`.
pub(super) fn across(loaded: &Loaded, backends: &[&str], errors: &mut Vec<ConfigError>) {
    let mut found = Vec::new();
    issuer(loaded, &mut found);
    routes(loaded, backends, &mut found);
    ports(loaded, &mut found);
    tls(loaded, &mut found);
    sizes(loaded, &mut found);
    aws::change_events(loaded, &mut found);
    // Where a part is wrong by itself, the default stands in its place: what
    // that does not fit is no second mistake.
    let wrong: Vec<_> = errors.iter().map(|error| error.setting.clone()).collect();
    for (settings, problem) in found {
        if settings.iter().any(|setting| wrong.iter().any(|one| one == setting)) {
            continue;
        }
        let setting = settings.first().copied().unwrap_or_default();
        let source = loaded.source(setting).cloned().unwrap_or(Source::Default);
        errors.push(ConfigError { setting: setting.to_owned(), source, problem });
    }
}

/// The settings between which it is, the one to name first, and what is wrong.
type Found = (&'static [&'static str], String);

fn issuer(loaded: &Loaded, found: &mut Vec<Found>) {
    let auth = &loaded.settings.auth;
    if auth.issuer.is_none() && auth.jwks.is_some() {
        let problem = "is set, but `auth.issuer` is not: say whose tokens are accepted".to_owned();
        found.push((&["auth.jwks", "auth.issuer"], problem));
    }
    issuers(auth, found);
    if auth.has_issuer() {
        if auth.development {
            found.push((
                &["auth.development", "auth.issuer", "auth.issuers"],
                "is true, but an issuer is set (`auth.issuer` or `auth.issuers`): development tokens are not accepted beside its own"
                    .to_owned(),
            ));
        }
        return;
    }
    let listen = loaded.settings.listen;
    if !auth.development && !listen.ip().is_loopback() {
        found.push((
            &["listen", "auth.issuer", "auth.development"],
            format!(
                "`{listen}` is beyond this machine, and without `auth.issuer` development tokens are \
                 accepted there: set `auth.issuer`, or say that you mean it with \
                 `auth.development = true`"
            ),
        ));
    }
    let defaults = super::AuthSettings::default();
    let only_with_issuer: [(&'static [&'static str], bool); 6] = [
        (&["auth.token-use", "auth.issuer"], auth.token_use != defaults.token_use),
        (&["auth.audience", "auth.issuer"], auth.audience != defaults.audience),
        (&["auth.tenant-claim", "auth.issuer"], auth.tenant_claim != defaults.tenant_claim),
        (&["auth.service-claim", "auth.issuer"], auth.service_claim != defaults.service_claim),
        (&["auth.roles-claim", "auth.issuer"], auth.roles_claim != defaults.roles_claim),
        (&["auth.jwks-refresh", "auth.issuer"], auth.jwks_refresh != defaults.jwks_refresh),
    ];
    for (settings, _) in only_with_issuer.into_iter().filter(|(_, changed)| *changed) {
        found.push((
            settings,
            "has no effect without `auth.issuer`: development tokens have one key and the default claims"
                .to_owned(),
        ));
    }
}

/// Each issuer is there once, and its keys are somewhere.
fn issuers(auth: &super::AuthSettings, found: &mut Vec<Found>) {
    let all = auth.accepted();
    for (index, issuer) in all.iter().enumerate() {
        let name = &issuer.issuer;
        let first = auth.issuer.is_some() && index == 0;
        if all.iter().take(index).any(|other| other.issuer == *name) {
            let problem = format!("has `{name}`, which is `auth.issuer` too: name it once");
            found.push((&["auth.issuers", "auth.issuer"], problem));
        }
        let Err(reason) = crate::auth::discovery_document(name) else { continue };
        if issuer.jwks.is_some() {
            continue;
        }
        let of: &'static [&'static str] =
            if first { &["auth.issuer", "auth.jwks"] } else { &["auth.issuers"] };
        let (verb, key) = if first { ("is", "`auth.jwks`") } else { ("has", "its `jwks`") };
        found.push((
            of,
            format!("{verb} `{name}`, whose keys cannot be discovered ({reason}), and {key} is not set: say where they are"),
        ));
    }
    if all.len() > limits::ISSUERS {
        let problem = format!("is the {}th issuer; at most {} are accepted", all.len(), limits::ISSUERS);
        found.push((&["auth.issuers"], problem));
    }
}

/// Backends that a build may lack.
const AWS_BACKENDS: [&str; 3] = ["dynamodb", "ssm", "secretsmanager"];

fn routes(loaded: &Loaded, backends: &[&str], found: &mut Vec<Found>) {
    for (prefix, backend) in &loaded.settings.backends {
        if !backends.contains(&backend.as_str()) {
            let hint = if AWS_BACKENDS.contains(&backend.as_str()) {
                "; this one was built without AWS: build it with `--features aws`".to_owned()
            } else {
                did_you_mean(backend, backends.iter().copied())
            };
            let known = backends.join("`, `");
            found.push((
                &["backends"],
                format!("`{prefix}` is given to `{backend}`; the backends of this hub are `{known}`{hint}"),
            ));
        }
    }
}

fn ports(loaded: &Loaded, found: &mut Vec<Found>) {
    let (listen, http) = (loaded.settings.listen, loaded.settings.http);
    if listen == http && listen.port() != 0 {
        found.push((
            &["http", "listen"],
            format!("`{http}` is the address of `listen` too: give them different ports"),
        ));
    }
}

fn tls(loaded: &Loaded, found: &mut Vec<Found>) {
    let settings = &loaded.settings;
    let tls = &settings.tls;
    let incomplete = |other| format!("is set, but `{other}` is not: TLS needs both");
    match (&tls.certificate, &tls.key) {
        (Some(_), None) => found.push((&["tls.certificate", "tls.key"], incomplete("tls.key"))),
        (None, Some(_)) => found.push((&["tls.key", "tls.certificate"], incomplete("tls.certificate"))),
        (Some(_), Some(_)) if settings.plaintext => found.push((
            &["plaintext", "tls.certificate"],
            "is true, but `tls.certificate` is set: with it both ports speak TLS and nothing else".to_owned(),
        )),
        (None, None) if tls.client_ca.is_some() => found.push((
            &["tls.client-ca", "tls.certificate"],
            "has no effect without `tls.certificate` and `tls.key`: there are no certificates in plaintext"
                .to_owned(),
        )),
        _ => {}
    }
    if tls.client_ca.is_none() && tls.client_certificates != super::ClientCertificates::Required {
        found.push((
            &["tls.client-certificates", "tls.client-ca"],
            "has no effect without `tls.client-ca`: no client is asked for a certificate".to_owned(),
        ));
    }
    let secured = tls.certificate.is_some() || tls.key.is_some();
    let ports: [(&'static [&'static str], _); 2] = [
        (&["listen", "tls.certificate", "tls.key", "plaintext"], settings.listen),
        (&["http", "tls.certificate", "tls.key", "plaintext"], settings.http),
    ];
    for (names, address) in ports {
        if !secured && !settings.plaintext && !address.ip().is_loopback() {
            found.push((
                names,
                format!(
                    "`{address}` is beyond this machine, and without TLS tokens and values can be read on the \
                     way there: set `tls.certificate` and `tls.key`, or, where something else encrypts, say so \
                     with `plaintext = true`"
                ),
            ));
        }
    }
}

fn sizes(loaded: &Loaded, found: &mut Vec<Found>) {
    let limits = &loaded.settings.limits;
    if limits.tenant_bytes < limits.value_bytes {
        found.push((
            &["limits.tenant-bytes", "limits.value-bytes"],
            format!(
                "is {} bytes, less than the {} of `limits.value-bytes`",
                limits.tenant_bytes, limits.value_bytes
            ),
        ));
    }
}
