//! `diff`: files beside a hub.

use super::import::names;
use crate::cli::args::HubArgs;
use crate::cli::compare::{self, Difference, Files, Plan, Routes, Step};
use crate::cli::document::Address;
use crate::cli::entry_view::EntryJson;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::hub::Hub;
use crate::cli::output::{Out, shown};
use clap::Args;
use confhub_proto::{Content, Prefix, wire};
use serde::Serialize;
use std::path::PathBuf;

/// Compare files with the hub
///
/// Shows what an import would add (+) and change (~), and what only the hub has (-). Takes the
/// same files as `import`. Secrets are compared if the token has the role `secret-reader`; without
/// it the command does not end green, unless --ignore-secrets says so. Their values are never
/// shown.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  confhub diff shop.json
  confhub diff --prefix tenant_config_ --within tenant_config_flag otel-demo.flagd.json
  confhub diff --output json shop.json | jq '.differences[].key'

JSON: {\"differences\": [{\"difference\": \"added\" | \"changed\" | \"removed\", \"key\", \"service\" (null:
shared), \"file\": {\"content_type\", \"secret\"}, \"hub\": entry, \"reason\" (if it is another than the
content)}, …], \"unchanged\", \"not_compared\": [{\"key\", \"service\"}, …]}.
Exit code 7 if anything differs or could not be compared, 0 if all is the same."
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
    /// End with 0 although secrets could not be compared
    #[arg(long)]
    ignore_secrets: bool,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

#[derive(Serialize)]
struct Json {
    differences: Vec<DifferenceJson>,
    unchanged: usize,
    not_compared: Vec<AddressJson>,
}

#[derive(Serialize)]
struct AddressJson {
    key: String,
    service: Option<String>,
}

#[derive(Serialize)]
struct DifferenceJson {
    difference: &'static str,
    #[serde(flatten)]
    address: AddressJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<ContentJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hub: Option<EntryJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

const EXPOSED: &str = "a secret in the file, but not in the hub";

#[derive(Serialize)]
struct ContentJson {
    content_type: String,
    secret: bool,
}

impl Diff {
    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let files = Files::open(&self.files, self.prefix.clone())?;
        let hub = Hub::connect(&self.hub).await?;
        let routes = Routes::new(&compare::status(&hub).await?);
        let within = |address: &Address| {
            let key = address.key.as_str();
            self.within.is_empty() || self.within.iter().any(|prefix| key.starts_with(prefix.as_str()))
        };
        let mut document = files.document(&routes)?;
        document.retain(|address, _| within(address));
        let plan = compare::with_hub(&hub, &document, within).await?;
        self.hub.output.print(out, &json(&plan), || text(&plan))?;
        if !plan.uncertain.is_empty() {
            self.hub.output.remark(&format!(
                "Not compared, since the token lacks the role secret-reader: {}.",
                names(&plan.uncertain.iter().map(|step| &step.address).collect::<Vec<_>>())
            ));
        }
        let same = plan.steps.is_empty() && plan.absent.is_empty() && plan.exposed.is_empty();
        match same && (plan.uncertain.is_empty() || self.ignore_secrets) {
            true => Ok(Exit::Ok),
            false => Ok(Exit::Different),
        }
    }
}

impl AddressJson {
    fn new(address: &Address) -> Self {
        Self { key: address.key.to_string(), service: address.service.as_ref().map(ToString::to_string) }
    }
}

fn json(plan: &Plan) -> Json {
    let step = |step: &Step| DifferenceJson {
        difference: step.difference.as_str(),
        address: AddressJson::new(&step.address),
        file: step.content.as_ref().map(|content| ContentJson {
            content_type: content.content_type.to_string(),
            secret: content.secret,
        }),
        hub: step.present.as_ref().map(|entry| EntryJson::new(&wire::Entry::from(entry), !entry.is_secret())),
        reason: None,
    };
    let absent = plan.absent.iter().map(|address| DifferenceJson {
        difference: Difference::Added.as_str(),
        address: AddressJson::new(address),
        file: None,
        hub: None,
        reason: Some("a secret without a value in the file"),
    });
    let exposed = plan.exposed.iter().map(|(address, entry)| DifferenceJson {
        difference: Difference::Changed.as_str(),
        address: AddressJson::new(address),
        file: None,
        // What should be secret is not shown, whatever the hub takes it for.
        hub: Some(EntryJson::new(&wire::Entry::from(entry), false)),
        reason: Some(EXPOSED),
    });
    Json {
        differences: plan.steps.iter().map(step).chain(absent).chain(exposed).collect(),
        unchanged: plan.unchanged,
        not_compared: plan.uncertain.iter().map(|step| AddressJson::new(&step.address)).collect(),
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
    for (address, _) in &plan.exposed {
        text += &format!("~ {address}  ({EXPOSED})\n");
    }
    let added = plan.count(Difference::Added) + plan.absent.len();
    let changed = plan.count(Difference::Changed) + plan.exposed.len();
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

#[cfg(test)]
mod tests {
    use super::*;
    use confhub_proto::{Entry, limits};
    use std::time::SystemTime;

    #[test]
    fn what_was_not_compared_has_an_address_and_what_is_exposed_a_reason_but_no_value() {
        let address = |service: Option<&str>, key: &str| Address {
            service: service.map(|service| service.parse().unwrap()),
            key: key.parse().unwrap(),
        };
        let content = Content::new("hunter2".into(), Content::TEXT, true, limits::VALUE_BYTES).unwrap();
        let plain = Content { secret: false, ..content.clone() };
        let entry = Entry::new("b".parse().unwrap(), None, plain, 1, SystemTime::UNIX_EPOCH);
        let plan = Plan {
            uncertain: vec![Step {
                difference: Difference::Changed,
                address: address(Some("ad"), "a"),
                content: Some(content),
                present: None,
            }],
            exposed: vec![(address(None, "b"), entry)],
            ..Plan::default()
        };
        let json = serde_json::to_value(json(&plan)).unwrap();
        assert_eq!(json["not_compared"], serde_json::json!([{"key": "a", "service": "ad"}]));
        let exposed = &json["differences"][0];
        assert_eq!((&exposed["difference"], &exposed["key"]), (&"changed".into(), &"b".into()));
        assert!(exposed["reason"].as_str().unwrap().contains("not in the hub"), "{json}");
        let text = text(&plan);
        assert!(text.contains("~ b  (") && !format!("{json}{text}").contains("hunter2"), "{json}{text}");
    }
}
