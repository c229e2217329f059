//! One change of one flag.

use super::find::{Which, find, words};
use crate::cli::applied::{self, Applied, WaitArgs};
use crate::cli::args::HubArgs;
use crate::cli::commands::wire_service;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::hub::Hub;
use crate::cli::output::{Out, Output, escaped};
use clap::Args;
use confhub_flags::{DefinitionText, FLAG_TYPE, FlagName};
use confhub_proto::{Bytes, ServiceName, wire};
use serde::Serialize;
use serde_json::Value;

/// What the JSON of a change is, for `--help`.
pub(super) const JSON_HELP: &str = "\
JSON: {\"name\", \"key\", \"service\" (null: shared), \"version\", \"changed\" (false: it was so already, and
nothing was written), \"now\" (in words)}. Exit code 2 if the hub refuses the definition, 3 if there is
no such flag, 4 if somebody else was faster or --expect-version is another, 8 if --wait does not
see it applied (see `put`).";

/// What every command that changes a flag takes.
#[derive(Debug, Args)]
pub(super) struct Edit {
    #[command(flatten)]
    pub(super) which: Which,
    /// Change it only if it has this version now
    #[arg(long, value_name = "N")]
    pub(super) expect_version: Option<u64>,
    #[command(flatten)]
    pub(super) wait: WaitArgs,
    #[command(flatten)]
    pub(super) hub: HubArgs,
}

/// What came of a change.
#[derive(Debug, Serialize)]
pub(super) struct Changed {
    name: String,
    key: String,
    service: Option<String>,
    version: u64,
    changed: bool,
    now: String,
    /// How far it has come, with `--wait`.
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<Applied>,
}

impl Edit {
    /// Reads the flag, changes its definition and writes it, on the condition that nobody
    /// has changed it meanwhile.
    pub(super) async fn run(
        &self,
        out: Out<'_>,
        change: impl FnOnce(&FlagName, &mut DefinitionText) -> Result<(), CliError>,
    ) -> Result<Exit, CliError> {
        let hub = Hub::connect(&self.hub).await?;
        let found = find(&hub, &self.which).await?;
        let actual = found.entry.version;
        if let Some(expected) = self.expect_version.filter(|expected| *expected != actual) {
            let what = format!("the flag `{}`", self.which.name);
            return Err(CliError::Stale { what, expected, actual });
        }
        let before = found.text()?;
        let mut after = before.clone();
        change(&found.name, &mut after)?;
        let changed = before != after;
        let mut version = actual;
        if changed {
            version = put(&hub, &found.name, self.which.service.as_ref(), &after, actual).await?;
        }
        let changed = Changed::new(&found.name, self.which.service.as_ref(), &after, version, changed);
        changed.finish(&hub, &self.wait, (self.hub.output, out)).await
    }
}

impl Changed {
    /// Of a flag that has this definition now.
    pub(super) fn new(
        name: &FlagName,
        service: Option<&ServiceName>,
        text: &DefinitionText,
        version: u64,
        changed: bool,
    ) -> Self {
        Self {
            name: name.as_str().to_owned(),
            key: name.key().to_string(),
            service: service.map(ToString::to_string),
            version,
            changed,
            now: words(text),
            applied: None,
        }
    }

    /// Waits until it is applied, if that is asked for, prints it, and says how to end.
    pub(super) async fn finish(
        mut self,
        hub: &Hub,
        wait: &WaitArgs,
        (output, out): (Output, Out<'_>),
    ) -> Result<Exit, CliError> {
        let service = self.service.clone().unwrap_or_default();
        let change = wire::Written { key: self.key.clone(), service, version: self.version };
        self.applied = wait.wait(hub, vec![change]).await?;
        output.print(out, &self, || self.text())?;
        Ok(applied::exit(&self.applied))
    }

    /// The same for people.
    pub(super) fn text(&self) -> String {
        let service = self.service.as_ref().map(|name| format!(" of service {name}")).unwrap_or_default();
        let was = if self.changed { "is now" } else { "was so already, and stays" };
        let text = escaped(&format!("{}{service} {was} version {}: {}", self.name, self.version, self.now));
        text + &applied::text(&self.applied)
    }
}

/// Writes a definition if the flag still has the expected version (0: if there is none).
pub(super) async fn put(
    hub: &Hub,
    name: &FlagName,
    service: Option<&ServiceName>,
    text: &DefinitionText,
    expected: u64,
) -> Result<u64, CliError> {
    let content = wire::Content {
        value: Bytes::from(text.to_string()),
        content_type: FLAG_TYPE.to_owned(),
        secret: false,
    };
    let request = wire::PutRequest {
        key: name.key().to_string(),
        service: wire_service(service),
        content: Some(content),
        expected_version: Some(expected),
    };
    let call = format!("write the flag `{}`", name.as_str());
    Ok(hub.write(&call, hub.admin().put(request)).await?.version)
}

/// The variant that is meant: the one that is named, or the one that is called `usual`, or
/// the only one of a flag of truth values that is `value`.
pub(super) fn variant(
    text: &DefinitionText,
    named: Option<&str>,
    usual: &str,
    value: bool,
    option: &str,
) -> Result<String, CliError> {
    let variants = text.value("variants");
    let variants = variants.as_object().into_iter().flatten();
    let known: Vec<_> = variants.map(|(name, value)| (name.clone(), value.clone())).collect();
    let is = |wanted: &str| known.iter().any(|(name, _)| name == wanted);
    let names = || known.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match named {
        Some(name) if is(name) => Ok(name.to_owned()),
        Some(name) => Err(CliError::Usage(format!("the flag has no variant `{name}`: it has {}", names()))),
        None if is(usual) => Ok(usual.to_owned()),
        None => {
            let mut fitting = known.iter().filter(|(_, of)| of.as_bool() == Some(value));
            match (fitting.next(), fitting.next()) {
                (Some((name, _)), None) => Ok(name.clone()),
                _ => Err(CliError::Usage(format!(
                    "the flag has no variant `{usual}`: name the one that is meant with {option}, of {}",
                    names()
                ))),
            }
        }
    }
}

/// A text as JSON.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
