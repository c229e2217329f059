//! `flag list`: all flags.

use super::find::{PREFIX, words};
use crate::cli::args::HubArgs;
use crate::cli::entry_view::{modified_cell, service_cell};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::hub::Hub;
use crate::cli::output::{Out, escaped, table, table_text};
use clap::Args;
use confhub_flags::{Definition, DefinitionText, FlagState, Rule, Slot};
use confhub_proto::{Entry, ServiceName, wire};
use serde::Serialize;
use std::collections::BTreeMap;

/// What the JSON of a flag is, for `--help`.
pub(super) const JSON_HELP: &str = "\
A flag in JSON: {\"name\", \"key\", \"service\" (null: shared), \"version\", \"modified_at\" (RFC 3339), \"state\"
(ENABLED or DISABLED), \"switched_to\" (the variant that everybody gets, or null), \"variants\": [name, …],
\"default_variant\" (null: the default of the code), \"targeting\" (whether there is a rule),
\"description\", \"now\" (in words)}; of one that is stored badly \"error\" in place of what is in it.";

/// List flags
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_long_help = format!("\
Examples:
  confhub flag list
  confhub flag list --service cart
  confhub flag list --output json | jq '.flags[] | select(.targeting) | .name'

JSON: {{\"flags\": [flag, …]}}.
{JSON_HELP}"))]
pub(super) struct List {
    /// Only those that this service sees: its own, and shared ones that none of its own hides
    #[arg(long)]
    service: Option<ServiceName>,
    #[command(flatten)]
    pub(super) hub: HubArgs,
}

/// A flag as it is listed.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) name: String,
    key: String,
    service: Option<String>,
    version: u64,
    modified_at: String,
    #[serde(flatten)]
    what: What,
    #[serde(skip)]
    modified_cell: String,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum What {
    Good(Good),
    Bad { error: String },
}

#[derive(Debug, Serialize)]
struct Good {
    state: &'static str,
    switched_to: Option<String>,
    variants: Vec<String>,
    default_variant: Option<String>,
    targeting: bool,
    description: Option<String>,
    now: String,
}

#[derive(Serialize)]
struct Json {
    flags: Vec<Line>,
}

impl List {
    pub(super) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let hub = Hub::connect(&self.hub).await?;
        let mut lines: BTreeMap<(String, Option<String>), Line> = BTreeMap::new();
        for entry in hub.list(vec![PREFIX.to_owned()]).await? {
            let seen = entry.service().is_none() || entry.service() == self.service.as_ref();
            let Some(line) = Line::of(&entry).filter(|_| self.service.is_none() || seen) else { continue };
            // Of a service's view, its own flag is what is seen of a name.
            let place = if self.service.is_none() { line.service.clone() } else { None };
            let hidden =
                lines.get(&(line.name.clone(), place.clone())).is_some_and(|had| had.service.is_some());
            if !hidden {
                lines.insert((line.name.clone(), place), line);
            }
        }
        let json = Json { flags: lines.into_values().collect() };
        self.hub.output.print(out, &json, || text(&json.flags))?;
        Ok(Exit::Ok)
    }
}

impl Line {
    /// `None`: the entry is no flag.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        let Ok(Some(Slot::Flag(name))) = Slot::of_key(entry.key().as_str()) else { return None };
        let read = match entry.is_secret() {
            true => Err("it is a secret, which no flag can be".to_owned()),
            false => Definition::parse(&name, entry.value()).map_err(|faults| faults.to_string()),
        };
        let text = DefinitionText::parse(entry.value()).unwrap_or_default();
        let what = match read {
            Err(error) => What::Bad { error },
            Ok(definition) => {
                let rule = Rule::of(&text);
                What::Good(Good {
                    state: match definition.state {
                        FlagState::Enabled => "ENABLED",
                        FlagState::Disabled => "DISABLED",
                    },
                    targeting: rule.rest.is_some(),
                    switched_to: rule.switch,
                    variants: definition.variants.into_keys().collect(),
                    default_variant: definition.default_variant,
                    description: text.value("description").as_str().map(str::to_owned),
                    now: words(&text),
                })
            }
        };
        let wire = wire::Entry::from(entry);
        Some(Self {
            name: name.as_str().to_owned(),
            key: wire.key.clone(),
            service: Some(wire.service.clone()).filter(|service| !service.is_empty()),
            version: wire.version,
            modified_at: wire.modified_at.unwrap_or_default().to_string(),
            what,
            modified_cell: modified_cell(&wire),
        })
    }

    /// What it does, or what is wrong with it.
    pub(super) fn now(&self) -> &str {
        match &self.what {
            What::Good(good) => &good.now,
            What::Bad { error } => error,
        }
    }

    fn row(&self) -> Vec<String> {
        /// More names than these make a line that nobody reads.
        const VARIANTS: usize = 6;
        let (state, variants, default, targeting) = match &self.what {
            What::Bad { .. } => ("stored badly".to_owned(), String::new(), String::new(), ""),
            What::Good(good) => {
                let state = match (&good.switched_to, good.state) {
                    (_, "DISABLED") => "disabled".to_owned(),
                    (Some(variant), _) => format!("all get {variant}"),
                    _ => "enabled".to_owned(),
                };
                let mut variants =
                    good.variants.iter().take(VARIANTS).cloned().collect::<Vec<_>>().join(", ");
                if good.variants.len() > VARIANTS {
                    variants += ", …";
                }
                let default = good.default_variant.clone().unwrap_or_else(|| "(code)".to_owned());
                (state, variants, default, if good.targeting { "yes" } else { "no" })
            }
        };
        let service = service_cell(self.service.as_deref().unwrap_or_default());
        let version = self.version.to_string();
        [&self.name, &state, &variants, &default, targeting, &service, &version, &self.modified_cell]
            .map(escaped)
            .to_vec()
    }
}

fn text(lines: &[Line]) -> String {
    let mut table =
        table(["NAME", "STATE", "VARIANTS", "DEFAULT", "TARGETING", "SERVICE", "VERSION", "MODIFIED"]);
    for line in lines {
        table.add_row(line.row());
    }
    if lines.is_empty() { "there are no flags".to_owned() } else { table_text(&table) }
}
