//! `import`: makes a hub agree with files.

use crate::cli::args::HubArgs;
use crate::cli::compare::{self, Difference, Files, Plan, Routes, Step};
use crate::cli::document::Address;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::hub::Hub;
use crate::cli::output::{Out, Output};
use crate::cli::progress;
use clap::Args;
use confhub_proto::{Prefix, wire};
use serde::Serialize;
use std::path::PathBuf;

/// Make the hub agree with files
///
/// Reads documents (see `export`) and flagd flag definitions, compares them with the hub and
/// writes what differs, each entry on the condition that nobody changes it meanwhile. Files are
/// checked as a whole before anything is written. What the files do not name is left alone,
/// unless --prune says otherwise.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
The document:
  {\"shared\":   {\"tenant_config_kafka_addr\": \"kafka:9092\", \"tenant_config_retry\": {\"max\": 3}},
   \"services\": {\"ad\": {\"tenant_config_port\": 9555}},
   \"secrets\":  {\"tenant_config_postgres_password\": \"changeit\"}}
A JSON string is plain text, any other value application/json, kept byte for byte; other types
are spelled {\"$content_type\": …, \"$text\" | \"$base64\" | \"$json\": …, \"$secret\": true}.
A flag of a definition file becomes the entry tenant_config_flag.NAME, and what stands beside
the flags tenant_config_flags; `flag import` does the same for a service of its own.

Examples:
  confhub import shop.json
  confhub import --prefix tenant_config_ otel-demo.services.json otel-demo.flagd.json
  confhub import --dry-run shop.json
  confhub import --prune tenant_config_ shop.json

JSON: {\"added\", \"changed\", \"removed\", \"rewritten_secrets\" (written without a comparison),
\"unchanged\", \"skipped_secrets\", \"batches\", \"dry_run\", \"changes\": [{\"difference\" (of rewritten
secrets \"unknown\"), \"key\", \"service\" (null: shared)}, …]}.
Exit code 4 if somebody changed an entry meanwhile."
)]
pub(crate) struct Import {
    /// Files; `-` reads standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Put this before every name that has no prefix the hub knows
    #[arg(long)]
    prefix: Option<Prefix>,
    /// Show what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Delete entries whose keys start with this and that no file has; may be repeated
    #[arg(long, value_name = "PREFIX")]
    prune: Vec<Prefix>,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

/// What an import did.
#[derive(Debug, Serialize)]
pub(crate) struct Imported {
    /// Entries that are new.
    pub(crate) added: usize,
    /// Entries with another content.
    pub(crate) changed: usize,
    /// Secrets that could not be compared and were written again.
    pub(crate) rewritten_secrets: usize,
    /// Entries deleted.
    pub(crate) removed: usize,
    /// Entries that were as they should be.
    pub(crate) unchanged: usize,
    /// Secrets that the files name without a value.
    pub(crate) skipped_secrets: usize,
    /// How many commits it took.
    pub(crate) batches: usize,
}

#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    imported: &'a Imported,
    dry_run: bool,
    changes: Vec<ChangeJson>,
}

#[derive(Serialize)]
struct ChangeJson {
    difference: &'static str,
    key: String,
    service: Option<String>,
}

impl Import {
    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let files = Files::open(&self.files, self.prefix.clone())?;
        let hub = Hub::connect(&self.hub).await?;
        let output = self.hub.output;
        let status = compare::status(&hub).await?;
        let routes = Routes::new(&status);
        let document = files.document(&routes)?;
        let in_prune = |address: &Address| {
            self.prune.iter().any(|prefix| address.key.as_str().starts_with(prefix.as_str()))
        };
        let plan = compare::with_hub(&hub, &document, in_prune).await?;
        carry_out(&hub, &plan, &status, self.dry_run, output, out).await
    }
}

/// Makes the hub agree, or says what that would take.
pub(crate) async fn carry_out(
    hub: &Hub,
    plan: &Plan,
    status: &wire::StatusResponse,
    dry_run: bool,
    output: Output,
    out: Out<'_>,
) -> Result<Exit, CliError> {
    compare::check(plan, status)?;
    remark(plan, output);
    let batches = compare::split(plan.steps.iter().chain(&plan.uncertain), &Routes::new(status));
    let imported = summary(plan, batches.len());
    if batches.len() > 1 {
        output.remark(&format!(
            "This takes {} commits; each is all or nothing, and subscribers see them one after the other.",
            batches.len()
        ));
    }
    if !dry_run {
        send(hub, batches, output).await?;
    }
    print(plan, &imported, dry_run, output, out)?;
    Ok(Exit::Ok)
}

fn print(
    plan: &Plan,
    imported: &Imported,
    dry_run: bool,
    output: Output,
    out: Out<'_>,
) -> Result<(), CliError> {
    let steps = plan.steps.iter().chain(&plan.uncertain);
    let change = |step: &Step, difference| ChangeJson {
        difference,
        key: step.address.key.to_string(),
        service: step.address.service.as_ref().map(ToString::to_string),
    };
    let known = plan.steps.iter().map(|step| change(step, step.difference.as_str()));
    let changes = known.chain(plan.uncertain.iter().map(|step| change(step, "unknown"))).collect();
    let json = Json { imported, dry_run, changes };
    output.print(out, &json, || {
        let mut text = String::new();
        if dry_run {
            steps.for_each(|step| text += &format!("{} {}\n", step.difference.sign(), step.address));
            text += "nothing was written; it would be: ";
        }
        text + &imported.text()
    })
}

impl Imported {
    fn text(&self) -> String {
        let Self { added, changed, rewritten_secrets, removed, unchanged, batches, .. } = self;
        let again = match rewritten_secrets {
            0 => String::new(),
            secrets => format!("{secrets} secrets written again, "),
        };
        let commits = if *batches == 1 { "commit" } else { "commits" };
        format!(
            "{added} added, {changed} changed, {again}{removed} removed, {unchanged} unchanged, in {batches} {commits}"
        )
    }
}

fn summary(plan: &Plan, batches: usize) -> Imported {
    Imported {
        added: plan.count(Difference::Added),
        changed: plan.count(Difference::Changed),
        rewritten_secrets: plan.uncertain.len(),
        removed: plan.count(Difference::Removed),
        unchanged: plan.unchanged,
        skipped_secrets: plan.markers.len() + plan.absent.len() + plan.exposed.len(),
        batches,
    }
}

fn remark(plan: &Plan, output: Output) {
    if !plan.markers.is_empty() {
        output.remark(&format!(
            "Secrets without a value in the file, left as they are: {}.",
            names(&plan.markers)
        ));
    }
    if !plan.absent.is_empty() {
        output.remark(&format!(
            "Secrets without a value in the file, and the hub has none either: {}. \
             Write them with `confhub put --secret`.",
            names(&plan.absent)
        ));
    }
    if !plan.exposed.is_empty() {
        output.remark(&format!(
            "Secrets in the file that the hub holds in plain, without a value in the file: {}. \
             Write them with `confhub put --secret`.",
            names(&plan.exposed.iter().map(|(address, _)| address).collect::<Vec<_>>())
        ));
    }
    if !plan.uncertain.is_empty() {
        output.remark(&format!(
            "{} secrets cannot be compared without the role secret-reader, and are written again.",
            plan.uncertain.len()
        ));
    }
}

/// Some names, and how many more there are.
pub(crate) fn names(addresses: &[impl ToString]) -> String {
    /// More than this many say nothing more.
    const NAMED: usize = 5;
    let mut names: Vec<_> = addresses.iter().take(NAMED).map(ToString::to_string).collect();
    if addresses.len() > NAMED {
        names.push(format!("and {} more", addresses.len() - NAMED));
    }
    names.join(", ")
}

/// Sends batches one after the other, and stops at the first that fails.
async fn send(hub: &Hub, batches: Vec<Vec<wire::Change>>, output: Output) -> Result<(), CliError> {
    let total = batches.len();
    let bar = progress::bar(output, "importing", batches.iter().map(Vec::len).sum());
    for (done, changes) in batches.into_iter().enumerate() {
        let steps = u64::try_from(changes.len()).unwrap_or(u64::MAX);
        let sent = hub.write("import", hub.admin().apply(wire::ApplyRequest { changes })).await;
        if let Err(error) = sent {
            bar.finish_and_clear();
            return Err(CliError::Batch { committed: done, batches: total, error: Box::new(error) });
        }
        bar.inc(steps);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Imports files that are in memory, as `demo` does.
pub(crate) async fn import(hub: &Hub, files: &Files) -> Result<Imported, CliError> {
    let routes = Routes::new(&compare::status(hub).await?);
    let plan = compare::with_hub(hub, &files.document(&routes)?, |_| false).await?;
    let batches = compare::split(plan.steps.iter().chain(&plan.uncertain), &routes);
    let imported = summary(&plan, batches.len());
    send(hub, batches, Output::Json).await?;
    Ok(imported)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Role;
    use crate::cli::demo::stage::Stage;

    #[tokio::test]
    async fn an_import_that_ends_early_says_how_much_of_it_is_committed() {
        let stage = Stage::open(None).await.unwrap();
        let token = stage.token("acme", "tester", &[Role::Writer]).unwrap();
        let hub = Hub::connect(&stage.args(token)).await.unwrap();
        let batch = |key: &str, expected: u64| {
            let content =
                wire::Content { value: "1".into(), content_type: "text/plain".to_owned(), secret: false };
            vec![wire::Change {
                key: key.to_owned(),
                service: String::new(),
                expected_version: Some(expected),
                action: Some(wire::change::Action::Put(content)),
            }]
        };
        let batches =
            vec![batch("tenant_config_a", 0), batch("tenant_config_b", 7), batch("tenant_config_c", 0)];
        let error = send(&hub, batches, Output::Json).await.unwrap_err();
        assert_eq!((error.committed_batches(), error.exit()), (Some(1), Exit::Conflict), "{error}");
        assert!(!error.is_uncertain());
        assert_eq!(hub.list(Vec::new()).await.unwrap().len(), 1);
        stage.close().await.unwrap();
    }
}
