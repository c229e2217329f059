//! Flags as the hub has them.

use crate::cli::commands::wire_service;
use crate::cli::error::CliError;
use crate::cli::hub::{Hub, malformed};
use clap::Args;
use confhub_flags::{DefinitionText, FlagName, FlagState, Rule};
use confhub_proto::{ServiceName, wire};
use serde_json::Value;
use tonic::Code;

/// What the keys of flags, and of what they share, begin with.
pub(super) const PREFIX: &str = "tenant_config_flag";

/// Which flag is meant.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// The flag's name
    #[arg(index = 1)]
    pub(super) name: String,
    /// The service whose own flag is meant; without it, the one that all services share
    #[arg(long)]
    pub(super) service: Option<ServiceName>,
}

/// A flag's entry.
#[derive(Debug)]
pub(super) struct Found {
    /// The flag's name.
    pub(super) name: FlagName,
    /// As it stands in the hub.
    pub(super) entry: wire::Entry,
}

/// The name that a person typed.
pub(super) fn name(text: &str) -> Result<FlagName, CliError> {
    FlagName::new(text).map_err(|error| CliError::Usage(error.to_string()))
}

/// Finds exactly the flag that is meant: a service's own, or the shared one.
pub(super) async fn find(hub: &Hub, which: &Which) -> Result<Found, CliError> {
    let name = name(&which.name)?;
    let service = wire_service(which.service.as_ref());
    let request = wire::GetRequest { key: name.key().to_string(), service: service.clone() };
    let call = format!("read the flag `{}`", which.name);
    let entry = match hub.call(&call, hub.config().get(request)).await {
        Ok(answer) => answer.entry.ok_or_else(|| malformed(&call, &"no entry"))?,
        Err(error) if is_missing(&error) => return Err(CliError::NoFlag(missing(which, None))),
        Err(error) => return Err(error),
    };
    if entry.service != service {
        return Err(CliError::NoFlag(missing(which, Some(&entry.service))));
    }
    Ok(Found { name, entry })
}

fn is_missing(error: &CliError) -> bool {
    matches!(error, CliError::Hub { status, .. } if status.code() == Code::NotFound)
}

/// That there is no such flag, and what there is in its place: the flag of `other`.
pub(super) fn missing(which: &Which, other: Option<&str>) -> String {
    let name = &which.name;
    match (&which.service, other) {
        (Some(service), Some(_)) => format!(
            "service `{service}` has no flag `{name}` of its own, and sees the shared one: \
             leave --service out to mean that one, or make its own with `confhub flag create`"
        ),
        (None, Some(other)) => {
            format!("the token sees the flag `{name}` of service `{other}` alone: name it with --service")
        }
        (Some(service), None) => {
            format!("service `{service}` has no flag `{name}`, nor is there a shared one")
        }
        (None, None) => {
            format!("there is no shared flag `{name}`: `confhub flag list` has those that there are")
        }
    }
}

impl Found {
    /// Its definition, to be changed.
    ///
    /// # Errors
    /// If somebody has stored what is none.
    pub(super) fn text(&self) -> Result<DefinitionText, CliError> {
        DefinitionText::parse(&self.entry.value).map_err(|faults| {
            CliError::Failed(format!(
                "the flag `{}` is stored badly, so services keep what it was before: {faults}; \
                 `confhub rollback {}` writes an earlier version again",
                self.name.as_str(),
                self.name.key()
            ))
        })
    }
}

/// What a flag does, in words.
pub(super) fn words(text: &DefinitionText) -> String {
    let default = || match text.value("defaultVariant") {
        Value::String(name) if !name.is_empty() => format!("everybody gets `{name}`"),
        _ => "everybody gets the default of the code".to_owned(),
    };
    let rule = Rule::of(text);
    match (state(text), rule.switch, rule.rest) {
        (FlagState::Disabled, ..) => "disabled: everybody gets the default of the code".to_owned(),
        (_, Some(variant), Some(_)) => {
            format!("everybody gets `{variant}`, and its rule waits behind the switch")
        }
        (_, Some(variant), None) => format!("everybody gets `{variant}`, by the switch"),
        (_, None, Some(_)) => "its rule decides".to_owned(),
        (_, None, None) => default(),
    }
}

/// Whether it works.
pub(super) fn state(text: &DefinitionText) -> FlagState {
    match text.value("state").as_str() {
        Some("DISABLED") => FlagState::Disabled,
        _ => FlagState::Enabled,
    }
}
