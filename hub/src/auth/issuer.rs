//! The issuers whose tokens are accepted: each with its own keys and its own rules.
//!
//! Nothing is shared between two: a key of one never verifies a token of another,
//! and an issuer that cannot be reached is its own tokens' trouble alone.

use super::claim_path::ClaimPath;
use super::claims::{ClaimRules, TenantRule};
use super::fetch::Place;
use super::keyring::Keyring;
use super::keys::Keys;
use super::{AuthStartError, DEV_ISSUER, KeysError};
use crate::config::{AuthSettings, IssuerSettings};
use futures_util::future::join_all;

/// An accepted issuer.
pub(super) struct Issuer {
    pub(super) rules: ClaimRules,
    pub(super) keyring: Keyring,
}

/// All accepted issuers. They never change while the hub runs.
pub(super) struct Issuers(Vec<Issuer>);

impl Issuers {
    /// Reads the keys of all issuers, side by side. An issuer whose keys cannot be
    /// read now is asked again later, and until then its tokens are refused as
    /// [`super::AuthError::NoKeys`]: a hub that starts during one issuer's outage
    /// serves the tenants of the others. What can never work is a mistake in the
    /// settings, and one that none of them answers has nobody to serve: both
    /// are errors.
    pub(super) async fn open(settings: &AuthSettings) -> Result<Self, AuthStartError> {
        let accepted = settings.accepted();
        let mut issuers = Vec::with_capacity(accepted.len());
        for issuer in &accepted {
            warn_of_any_audience(settings, issuer);
            let place = Place::new(&issuer.issuer, issuer.jwks.as_ref());
            let place = place.map_err(|error| start_error(issuer, error))?;
            let rules = rules(settings, issuer, &accepted);
            issuers.push(Issuer { rules, keyring: Keyring::new(place, settings.jwks_refresh) });
        }
        let reads = join_all(issuers.iter().map(|issuer| issuer.keyring.first_read())).await;
        let works = reads.iter().any(Result::is_ok);
        for (issuer, read) in accepted.iter().zip(reads) {
            match read {
                Ok(()) => {}
                Err(error) if !works => return Err(start_error(issuer, error)),
                Err(error) => tracing::error!(
                    issuer = issuer.issuer,
                    %error,
                    "the tokens of an issuer cannot be verified until its keys can be read"
                ),
            }
        }
        Ok(Self(issuers))
    }

    /// The development issuer alone, whose claims have the default names.
    pub(super) fn development(keys: Keys, settings: &AuthSettings) -> Self {
        let settings = AuthSettings { leeway: settings.leeway, ..AuthSettings::default() };
        let rules = rules(&settings, &IssuerSettings::new(DEV_ISSUER), &[]);
        Self(vec![Issuer { rules, keyring: Keyring::fixed(keys) }])
    }

    /// The issuer of this name, and its place among them.
    pub(super) fn named(&self, name: &str) -> Option<(usize, &Issuer)> {
        self.0.iter().enumerate().find(|(_, issuer)| issuer.rules.issuer == name)
    }

    /// The issuer at a place.
    pub(super) fn at(&self, place: usize) -> Option<&Issuer> {
        self.0.get(place)
    }

    /// Keeps the keys of all fresh for as long as it is polled; it never ends.
    pub(super) async fn refresh(&self) {
        join_all(self.0.iter().map(|issuer| issuer.keyring.refresh())).await;
    }
}

fn start_error(issuer: &IssuerSettings, error: KeysError) -> AuthStartError {
    AuthStartError::Keys { issuer: issuer.issuer.clone(), error }
}

/// What `issuer` leaves out is as the settings have it for all.
fn rules(settings: &AuthSettings, issuer: &IssuerSettings, all: &[IssuerSettings]) -> ClaimRules {
    let path = |own: &Option<String>, general| ClaimPath::new(own.as_deref().unwrap_or(general));
    let tenant = match &issuer.tenant {
        Some(tenant) => TenantRule::Fixed(tenant.clone()),
        None => TenantRule::Claimed {
            at: path(&issuer.tenant_claim, &settings.tenant_claim),
            not: all.iter().filter_map(|other| other.tenant.clone()).collect(),
        },
    };
    ClaimRules {
        issuer: issuer.issuer.clone(),
        audience: issuer.audience.clone().unwrap_or_else(|| settings.audience.clone()),
        token_use: issuer.token_use.unwrap_or(settings.token_use),
        tenant,
        service: path(&issuer.service_claim, &settings.service_claim),
        roles: path(&issuer.roles_claim, &settings.roles_claim),
        leeway: settings.leeway,
    }
}

fn warn_of_any_audience(settings: &AuthSettings, issuer: &IssuerSettings) {
    if issuer.audience.as_ref().unwrap_or(&settings.audience).is_empty() {
        tracing::warn!(
            issuer = issuer.issuer,
            "the tokens of every client of the issuer are accepted, whatever they were issued for; \
             set `auth.audience` to the client that this hub belongs to"
        );
    }
}
