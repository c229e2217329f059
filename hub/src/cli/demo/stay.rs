//! The demo that stays up: what to type next, and what comes of it.

use super::fleet::Fleet;
use super::say;
use super::shop;
use super::stage::Stage;
use crate::auth::Role;
use crate::cli::error::CliError;
use crate::cli::output::{Output, shown};
use confhub_proto::Key;
use futures_util::StreamExt;
use futures_util::stream::select_all;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// File with the operator's token, in the data folder.
const TOKEN_FILE: &str = "operator.jwt";

/// Keeps the hub up until Ctrl-C, and tells of each change that arrives.
pub(super) async fn until_interrupted(stage: &Stage, fleet: &Fleet, output: Output) -> Result<(), CliError> {
    let token = stage.token("acme", "demo-operator", &[Role::Writer, Role::SecretReader])?;
    let file = write_token(stage.folder(), &token)?;
    say(output, &next_steps(stage, &file))?;
    let streams = fleet.0.iter().map(|member| member.client.changes());
    let mut changes = select_all(streams);
    // What was told of each key last; the hub bounds how many keys there are.
    let mut told: BTreeMap<Key, String> = BTreeMap::new();
    loop {
        tokio::select! {
            pressed = tokio::signal::ctrl_c() => {
                return pressed.map_err(|error| CliError::Failed(format!("cannot wait for Ctrl-C: {error}")));
            }
            Some(change) = changes.next() => {
                for key in change.keys {
                    let line = describe(fleet, &key);
                    if told.get(&key) != Some(&line) {
                        say(output, &line)?;
                        told.insert(key, line);
                    }
                }
            }
        }
    }
}

/// What the services have of a key now: `tenant_config_x = 5 (version 2) in 15 of 15 services`.
fn describe(fleet: &Fleet, key: &Key) -> String {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for member in &fleet.0 {
        if let Some(entry) = member.client.get(key.as_str()) {
            let value = shown(entry.value(), entry.is_secret());
            *seen.entry(format!("{value} (version {})", entry.version())).or_default() += 1;
        }
    }
    let all = fleet.0.len();
    if seen.is_empty() {
        return format!("  {key}: gone from all services");
    }
    let parts: Vec<_> =
        seen.iter().map(|(value, count)| format!("{value} in {count} of {all} services")).collect();
    format!("  {key} = {}", parts.join("; "))
}

fn next_steps(stage: &Stage, token: &Path) -> String {
    let (endpoint, token, key) = (stage.endpoint(), token.display(), shop::SETTING);
    format!(
        "\nThe hub stays up and the services keep listening; Ctrl-C ends it. In another terminal:\n\n  \
         export CONFHUB_ENDPOINT={endpoint}\n  \
         export CONFHUB_TOKEN=$(cat {token})\n  \
         confhub status\n  \
         confhub put {key} kafka-3:9092\n  \
         confhub history {key}\n  \
         confhub watch --service ad\n  \
         confhub export\n"
    )
}

/// Writes the token where only its owner reads it.
fn write_token(folder: &Path, token: &str) -> Result<PathBuf, CliError> {
    let path = folder.join(TOKEN_FILE);
    let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
        std::io::Write::write_all(&mut file, token.as_bytes())?;
        file.persist(&path).map_err(|error| error.error)
    });
    written.map_err(CliError::file("write", &path))?;
    Ok(path)
}
