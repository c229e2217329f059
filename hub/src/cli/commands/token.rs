//! `token`: signs tokens of the development issuer.

use crate::auth::{DevClaims, DevIssuer, Role};
use crate::backend;
use crate::cli::args::duration;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::config::{self, ServeArgs};
use clap::Args;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use confhub_proto::{ServiceName, TenantId};
use serde::Serialize;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// Sign a token of the development issuer
///
/// For development only: whoever can read the data folder of the hub can sign as anyone. With a
/// real issuer configured, the hub accepts none of these, and this command refuses to sign them.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  export CONFHUB_TOKEN=$(confhub token --tenant acme --role writer)
  confhub token --tenant acme --service ad --ttl 1h > ad.jwt
  confhub token --data-dir ./data --tenant acme --role writer --role secret-reader

Roles: reader (everyone has it), writer, secret-reader (sees the values of secrets),
operator (has the stores read anew), revoker (revokes tokens). A token of the tenant
`operators` with one of the last two rules over all tenants.
JSON: {\"token\", \"tenant\", \"service\" (null: any), \"roles\", \"subject\", \"expires_at\"}."
)]
pub(crate) struct Token {
    /// The tenant that the token is for
    #[arg(long)]
    tenant: TenantId,
    /// The one service that the token is for; without it, the caller chooses
    #[arg(long)]
    service: Option<ServiceName>,
    /// What the caller may do; may be repeated
    #[arg(long, value_parser = role())]
    role: Vec<Role>,
    /// Who the caller is, as the history of an entry shows it
    #[arg(long, env = "USER", hide_env = true, default_value = "developer")]
    subject: String,
    /// How long the token is valid: 30m, 12h
    #[arg(long, default_value = "12h", value_parser = ttl, value_name = "TIME")]
    ttl: Duration,
    /// The hub's data folder, as for `serve`
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The hub's configuration file, as for `serve`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to print
    #[arg(long, env = "CONFHUB_OUTPUT", value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
    pub(crate) output: Output,
}

#[derive(Serialize)]
struct Json<'a> {
    token: &'a str,
    tenant: &'a str,
    service: Option<&'a str>,
    roles: Vec<&'static str>,
    subject: &'a str,
    expires_at: String,
}

impl Token {
    pub(crate) fn run(self) -> Result<Exit, CliError> {
        let mut args = ServeArgs::default();
        args.config.clone_from(&self.config);
        let settings = config::load(&args, std::env::vars_os(), &backend::names())?.settings;
        if let Some(issuer) = settings.auth.accepted().first() {
            let issuer = &issuer.issuer;
            return Err(CliError::Failed(format!(
                "the hub trusts the issuer {issuer}, so it would refuse a development token: get one there"
            )));
        }
        let issuer = DevIssuer::open(self.data_dir.as_deref().unwrap_or(&settings.data_dir))?;
        let roles = [Role::Reader].into_iter().chain(self.role).collect::<Vec<_>>();
        let claims = DevClaims {
            tenant: self.tenant,
            service: self.service,
            roles,
            subject: self.subject,
            ttl: self.ttl,
        };
        let now = SystemTime::now();
        let token = issuer.mint(&claims, now)?;
        let json = Json {
            token: &token,
            tenant: claims.tenant.as_str(),
            service: claims.service.as_ref().map(ServiceName::as_str),
            roles: claims.roles.iter().map(|role| role.as_str()).collect(),
            subject: &claims.subject,
            expires_at: prost_types::Timestamp::from(now + claims.ttl).to_string(),
        };
        self.output.print(&mut std::io::stdout(), &json, || token.clone())?;
        self.output.remark("A development token: anyone who can read the hub's data folder can sign one.");
        Ok(Exit::Ok)
    }
}

/// Tokens count whole seconds: a shorter life would be over when it begins.
fn ttl(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        short if short < Duration::from_secs(1) => {
            Err("a token counts whole seconds: expected a time from 1s to 24h".to_owned())
        }
        ttl => Ok(ttl),
    }
}

/// Roles by the names that tokens have them under.
fn role() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::as_str))
        .try_map(|name| Role::ALL.into_iter().find(|role| role.as_str() == name).ok_or("no such role"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lives_for_a_second_at_least() {
        for short in ["1ms", "999ms"] {
            assert!(ttl(short).unwrap_err().contains("1s"), "{short}");
        }
        assert_eq!(ttl("1000ms"), Ok(Duration::from_secs(1)));
        assert_eq!(ttl("12h"), Ok(Duration::from_secs(12 * 3_600)));
    }
}
