//! Issuers, and where their claims are.

use super::super::source::Raw;
use super::super::{IssuerSettings, TokenUse};
use super::{Choice, Form, Location, OptionalTenant, Words, quoted, text};
use crate::limits;

/// What tokens may be for.
pub(in crate::config) const TOKEN_USE: Choice<TokenUse> =
    Choice(&[("any", TokenUse::Any), ("id", TokenUse::Id), ("access", TokenUse::Access)]);

/// Where in a token a claim is.
pub(in crate::config) struct ClaimName;

impl Form for ClaimName {
    type Value = String;

    fn expected(&self) -> String {
        "a text: the claim's name, or from `/` on a JSON Pointer such as `/app_metadata/tenant`".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<String, Option<String>> {
        let name = text(raw).filter(|text| !text.is_empty()).ok_or(None)?;
        crate::auth::check_claim_name(name).map_err(Some)?;
        Ok(name.to_owned())
    }

    fn show(&self, value: &String) -> String {
        quoted(value)
    }
}

/// Issuers by name, each a table of its own settings.
pub(in crate::config) struct Issuers;

impl Form for Issuers {
    type Value = Vec<IssuerSettings>;

    fn expected(&self) -> String {
        "a table of issuers, each a table with some of `jwks`, `audience`, `tenant-claim`, `service-claim`, \
         `roles-claim`, `tenant` and `token-use`; in flags and variables as TOML in braces"
            .to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<Self::Value, Option<String>> {
        let toml = match raw {
            Raw::Text(text) => Some(Raw::of_toml(text).map_err(Some)?),
            _ => None,
        };
        let tables = match toml.as_ref().unwrap_or(raw) {
            Raw::Tables(tables) => tables.as_slice(),
            Raw::Table(rows) if rows.is_empty() => &[],
            _ => return Err(None),
        };
        if tables.len() > limits::ISSUERS {
            return Err(Some(format!("they are {}; at most {} are accepted", tables.len(), limits::ISSUERS)));
        }
        tables.iter().map(|(name, rows)| issuer(name, rows).map_err(Some)).collect()
    }

    fn show(&self, value: &Self::Value) -> String {
        match value.is_empty() {
            true => "{}".to_owned(),
            false => format!("{{ {} }}", value.iter().map(show_issuer).collect::<Vec<_>>().join(", ")),
        }
    }
}

fn issuer(name: &str, rows: &[(String, Raw)]) -> Result<IssuerSettings, String> {
    if name.is_empty() {
        return Err("one of them has an empty name".to_owned());
    }
    let mut issuer = IssuerSettings::new(name);
    for (key, raw) in rows {
        set(&mut issuer, key, raw).map_err(|reason| format!("in `{name}`: {reason}"))?;
    }
    if issuer.tenant.is_some() && issuer.tenant_claim.is_some() {
        return Err(format!(
            "in `{name}`: `tenant` says whose all its tokens are, so `tenant-claim` has no effect"
        ));
    }
    Ok(issuer)
}

fn set(issuer: &mut IssuerSettings, key: &str, raw: &Raw) -> Result<(), String> {
    match key {
        "jwks" => issuer.jwks = read(&Location, key, raw)?,
        "audience" => issuer.audience = Some(read(&Words, key, raw)?),
        "tenant-claim" => issuer.tenant_claim = Some(read(&ClaimName, key, raw)?),
        "service-claim" => issuer.service_claim = Some(read(&ClaimName, key, raw)?),
        "roles-claim" => issuer.roles_claim = Some(read(&ClaimName, key, raw)?),
        "tenant" => issuer.tenant = read(&OptionalTenant, key, raw)?,
        "token-use" => issuer.token_use = Some(read(&TOKEN_USE, key, raw)?),
        other => return Err(format!("there is no `{other}`")),
    }
    Ok(())
}

fn read<F: Form>(form: &F, key: &str, raw: &Raw) -> Result<F::Value, String> {
    form.parse(raw).map_err(|reason| {
        let reason = reason.map_or_else(String::new, |reason| format!(", {reason}"));
        format!("`{key}` is {raw}{reason}; expected is {}", form.expected())
    })
}

fn show_issuer(issuer: &IssuerSettings) -> String {
    fn row<F: Form>(key: &str, form: &F, value: Option<&F::Value>) -> Option<String> {
        value.map(|value| format!("{key} = {}", form.show(value)))
    }
    let rows = [
        row("jwks", &Location, Some(&issuer.jwks).filter(|jwks| jwks.is_some())),
        row("audience", &Words, issuer.audience.as_ref()),
        row("tenant-claim", &ClaimName, issuer.tenant_claim.as_ref()),
        row("service-claim", &ClaimName, issuer.service_claim.as_ref()),
        row("roles-claim", &ClaimName, issuer.roles_claim.as_ref()),
        row("tenant", &OptionalTenant, Some(&issuer.tenant).filter(|tenant| tenant.is_some())),
        row("token-use", &TOKEN_USE, issuer.token_use.as_ref()),
    ];
    let rows: Vec<_> = rows.into_iter().flatten().collect();
    format!("{} = {{ {} }}", quoted(&issuer.issuer), rows.join(", "))
}
