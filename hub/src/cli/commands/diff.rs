//! `diff`: files beside a hub.

use super::import::names;
use crate::cli::args::HubArgs;
use crate::cli::compare::{self, Difference, Files, Plan, Routes, Step};
use crate::cli::entry_view::EntryJson;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::hub::Hub;
use crate::cli::output::shown;
use clap::Args;
use confhub_proto::{Content, Prefix, wire};
use serde::Serialize;
use std::path::PathBuf;

/// Compare files with the hub
///
/// Shows what an import would add (+) and change (~), and what only the hub has (-). Takes the
/// same files as `import`. Secrets are compared if the token has the role `secret-reader`; their
/// values are never shown.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  confhub diff shop.json
  confhub diff --prefix tenant_config_ --within tenant_config_flag_ otel-demo.flagd.json
  confhub diff --output json shop.json | jq '.differences[].key'

JSON: {\"differences\": [{\"difference\": \"added\" | \"changed\" | \"removed\", \"key\", \"service\" (null:
shared), \"file\": {\"content_type\", \"secret\"}, \"hub\": entry}, …], \"unchanged\",
\"not_compared\": [key, …]}. Exit code 7 if anything differs, 0 if nothing does."
)]
pub(crate) struct Diff {
    /// Files; `-` reads standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Put this before every name that has no prefix the hub knows
    #[arg(long)]
    prefix: Option<Prefix>,
    /// Compare only keys that start with this; may be repeated
    #[arg(long, value_name = "PREFIX")]
    within: Vec<Prefix>,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

#[derive(Serialize)]
struct Json {
    differences: Vec<DifferenceJson>,
    unchanged: usize,
    not_compared: Vec<String>,
}

#[derive(Serialize)]
struct DifferenceJson {
    difference: &'static str,
    key: String,
    service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<ContentJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hub: Option<EntryJson>,
}

#[derive(Serialize)]
struct ContentJson {
    content_type: String,
    secret: bool,
}

impl Diff {
    pub(crate) async fn run(self) -> Result<Exit, CliError> {
        let files = Files::open(&self.files, self.prefix.clone())?;
        let hub = Hub::connect(&self.hub).await?;
        let routes = Routes::new(&compare::status(&hub).await?);
        let within = |key: &confhub_proto::Key| {
            self.within.is_empty()
                || self.within.iter().any(|prefix| key.as_str().starts_with(prefix.as_str()))
        };
        let mut document = files.document(&routes)?;
        document.retain(|address, _| within(&address.key));
        let plan = compare::with_hub(&hub, &document, within).await?;
        self.hub.output.print(&json(&plan), || text(&plan))?;
        if !plan.uncertain.is_empty() {
            self.hub.output.remark(&format!(
                "Not compared, since the token lacks the role secret-reader: {}.",
                names(&plan.uncertain.iter().map(|step| &step.address).collect::<Vec<_>>())
            ));
        }
        match plan.steps.is_empty() && plan.absent.is_empty() {
            true => Ok(Exit::Ok),
            false => Ok(Exit::Different),
        }
    }
}

fn json(plan: &Plan) -> Json {
    let step = |step: &Step| DifferenceJson {
        difference: step.difference.as_str(),
        key: step.address.key.to_string(),
        service: step.address.service.as_ref().map(ToString::to_string),
        file: step.content.as_ref().map(|content| ContentJson {
            content_type: content.content_type.to_string(),
            secret: content.secret,
        }),
        hub: step.present.as_ref().map(|entry| EntryJson::new(&wire::Entry::from(entry), !entry.is_secret())),
    };
    let absent = plan.absent.iter().map(|address| DifferenceJson {
        difference: Difference::Added.as_str(),
        key: address.key.to_string(),
        service: address.service.as_ref().map(ToString::to_string),
        file: None,
        hub: None,
    });
    Json {
        differences: plan.steps.iter().map(step).chain(absent).collect(),
        unchanged: plan.unchanged,
        not_compared: plan.uncertain.iter().map(|step| step.address.to_string()).collect(),
    }
}

fn text(plan: &Plan) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        let hub = step.present.as_ref().map(|entry| shown(entry.value(), entry.is_secret()));
        let file = step.content.as_ref().map(value);
        let values = match (hub, file) {
            (Some(hub), Some(file)) if hub == file => format!("{hub} ({})", why(step)),
            (Some(hub), Some(file)) => format!("{hub} -> {file}"),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => String::new(),
        };
        text += &format!("{} {}  {values}\n", step.difference.sign(), step.address);
    }
    for address in &plan.absent {
        text += &format!("+ {address}  (secret, without a value in the file)\n");
    }
    let (added, changed) =
        (plan.count(Difference::Added) + plan.absent.len(), plan.count(Difference::Changed));
    let removed = plan.count(Difference::Removed);
    text + &format!(
        "{added} only in the file, {changed} different, {removed} only in the hub, {} the same",
        plan.unchanged
    )
}

fn value(content: &Content) -> String {
    if content.secret { "(secret)".to_owned() } else { shown(&content.value, false) }
}

/// Why two contents differ that look the same.
fn why(step: &Step) -> String {
    match (&step.present, &step.content) {
        (Some(entry), Some(content)) if *entry.content_type() != *content.content_type => {
            format!("{} -> {}", shown(entry.content_type().as_bytes(), false), content.content_type)
        }
        (Some(entry), Some(content)) if entry.is_secret() != content.secret => {
            "only one is a secret".to_owned()
        }
        _ => "another value".to_owned(),
    }
}
