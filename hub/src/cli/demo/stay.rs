//! The demo that stays up: what to type next, and what comes of it.

use super::fleet::{Fleet, Member};
use super::say;
use super::shop;
use super::stage::Stage;
use crate::auth::Role;
use crate::cli::error::CliError;
use crate::cli::output::{Output, shown};
use confhub_proto::Key;
use futures_util::StreamExt;
use futures_util::stream::select_all;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// File with the operator's token, in the data folder.
const TOKEN_FILE: &str = "operator.jwt";

/// Changes that arrive within this time are told of together.
const TOGETHER: Duration = Duration::from_millis(50);

/// Most changes that are told of together.
const MOST_TOGETHER: usize = 10_000;

/// Tells of each change that arrives, for as long as it is polled.
pub(super) async fn for_good(stage: &Stage, fleet: &Fleet, output: Output) -> Result<(), CliError> {
    let token = stage.token("acme", "demo-operator", &[Role::Writer, Role::SecretReader])?;
    let file = write_token(stage.folder(), &token)?;
    say(output, &next_steps(stage, &file))?;
    let streams = fleet.0.iter().enumerate();
    let streams = streams.map(|(at, member)| member.client.changes().map(move |change| (at, change)));
    let mut changes = select_all(streams);
    while let Some((at, change)) = changes.next().await {
        let until = Instant::now() + TOGETHER;
        let mut arrived: BTreeSet<_> = change.keys.into_iter().map(|key| (key, at)).collect();
        while arrived.len() < MOST_TOGETHER
            && let Ok(Some((at, change))) = timeout_at(until, changes.next()).await
        {
            arrived.extend(change.keys.into_iter().map(|key| (key, at)));
        }
        let arrived = arrived.iter().filter_map(|(key, at)| Some((key, fleet.0.get(*at)?)));
        for (fact, services) in facts(arrived) {
            let noun = if services == 1 { "service" } else { "services" };
            say(output, &format!("  {fact} {services} {noun}"))?;
        }
    }
    Err(CliError::Failed("all services of the demo have ended".to_owned()))
}

/// What the services that a change has reached see now, and how many see the same.
fn facts<'a>(arrived: impl Iterator<Item = (&'a Key, &'a Member)>) -> BTreeMap<String, usize> {
    let mut facts = BTreeMap::new();
    for (key, member) in arrived {
        let fact = match member.client.get(key.as_str()) {
            Some(entry) => {
                let of = entry.service().map(|service| format!(" of {service}")).unwrap_or_default();
                let value = shown(entry.value(), entry.is_secret());
                format!("{key}{of} = {value} (version {}) in", entry.version())
            }
            None => format!("{key} is gone from"),
        };
        *facts.entry(fact).or_default() += 1;
    }
    facts
}

fn next_steps(stage: &Stage, token: &Path) -> String {
    let (endpoint, token, key) = (stage.endpoint(), token.display(), shop::SETTING);
    let flag = shop::BOOLEAN;
    let confhub = program();
    format!(
        "\nThe hub stays up and the services keep listening; Ctrl-C ends it. In another terminal:\n\n  \
         export CONFHUB_ENDPOINT={endpoint}\n  \
         export CONFHUB_TOKEN=$(cat {token})\n  \
         {confhub} status\n  \
         {confhub} put {key} kafka-3:9092\n  \
         {confhub} history {key}\n  \
         {confhub} flag set-percentage {flag} 20\n  \
         {confhub} flag evaluate {flag} --targeting-key user-42\n  \
         {confhub} watch --service ad\n  \
         {confhub} export\n"
    )
}

/// The program as it was started: it may not be on the path.
fn program() -> String {
    std::env::args_os()
        .next()
        .map_or_else(|| "confhub".to_owned(), |name| name.to_string_lossy().into_owned())
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
