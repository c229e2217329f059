//! `flag evaluate`: what somebody gets, and why.

use super::find::{Which, missing, name};
use super::target::scalar;
use crate::cli::args::HubArgs;
use crate::cli::commands::wire_service;
use crate::cli::entry_view::service_cell;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::file;
use crate::cli::hub::Hub;
use crate::cli::output::{Out, escaped, shown, table, table_text};
use clap::Args;
use confhub_flags::{
    Change, Context, Details, Explanation, FlagName, FlagSet, FlagValue, HashVersion, SET_KEY, Step,
};
use confhub_proto::wire;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

/// Largest file of contexts, in bytes.
const CONTEXT_BYTES: usize = 64 * 1024 * 1024;

/// Say what somebody gets, and why
///
/// Evaluates the flag here, from the definition that the hub has, as services do: with the
/// flag of the service if it has one of its own, and with what its flags share. Shows which
/// parts of the rule were looked at, and what each came to.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  confhub flag evaluate newCheckout --targeting-key user-42
  confhub flag evaluate newCheckout --targeting-key user-42 --context plan=pro --context age=33
  confhub flag evaluate newCheckout --service cart --context-file user.json
  confhub flag evaluate newCheckout --context-file users.json --output json | jq .variants
  confhub flag evaluate newCheckout --targeting-key user-42 --hash text

In --context, true, false and numbers are what they look like; all else is text, and '\"5\"' too.
A file has an object of attributes, with \"targetingKey\" among them, or an array of such objects.

JSON: {\"name\", \"service\" (null: the shared flag), \"version\", \"hash\", \"targeting_key\", \"value\" (null: the default of the
code), \"variant\", \"reason\", \"error\": {\"code\", \"message\"}, \"metadata\", \"decided_at\" (a JSON pointer
into the definition), \"steps\": [{\"pointer\", \"depth\", \"operator\", \"value\", \"note\"}, …]}.
Of an array: {\"name\", …, \"results\": [{\"targeting_key\", \"value\", \"variant\", \"reason\", \"error\"}, …],
\"variants\": {variant (\"\": the default of the code): how many}}. Exit code 3 if there is no such flag."
)]
pub(super) struct Evaluate {
    #[command(flatten)]
    which: Which,
    /// Who it is: what tells users apart
    #[arg(long, short = 'k', value_name = "KEY")]
    targeting_key: Option<String>,
    /// An attribute; may be repeated
    #[arg(long, short = 'c', value_name = "NAME=VALUE", value_parser = attribute)]
    context: Vec<(String, Value)>,
    /// A JSON file with attributes, or with an array of many users'; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    context_file: Option<PathBuf>,
    /// How users are spread over shares: cbor, text or percent, as the service's evaluator does
    #[arg(long, value_name = "VERSION", default_value_t)]
    hash: Hash,
    #[command(flatten)]
    pub(super) hub: HubArgs,
}

/// A hash version as the command line has it.
#[derive(Debug, Clone, Copy, Default)]
struct Hash(HashVersion);

impl std::str::FromStr for Hash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.as_str())
    }
}

#[derive(Serialize)]
struct Head {
    name: String,
    service: Option<String>,
    version: u64,
    hash: &'static str,
}

#[derive(Serialize)]
struct Outcome {
    targeting_key: Option<String>,
    value: Option<Value>,
    variant: Option<String>,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorJson>,
}

#[derive(Serialize)]
struct ErrorJson {
    code: &'static str,
    message: String,
}

#[derive(Serialize)]
struct One<'a> {
    #[serde(flatten)]
    head: &'a Head,
    #[serde(flatten)]
    result: &'a Outcome,
    metadata: &'a serde_json::Map<String, Value>,
    decided_at: Option<&'a str>,
    steps: Vec<StepJson<'a>>,
}

#[derive(Serialize)]
struct StepJson<'a> {
    pointer: &'a str,
    depth: usize,
    operator: Option<&'a str>,
    value: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

impl<'a> From<&'a Step> for StepJson<'a> {
    fn from(step: &'a Step) -> Self {
        Self {
            pointer: &step.pointer,
            depth: step.depth,
            operator: step.operator.as_deref(),
            value: &step.value,
            note: step.note.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct Many<'a> {
    #[serde(flatten)]
    head: &'a Head,
    results: &'a [Outcome],
    variants: BTreeMap<&'a str, usize>,
}

impl Evaluate {
    pub(super) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let name = name(&self.which.name)?;
        let (contexts, many) = self.contexts()?;
        let hub = Hub::connect(&self.hub).await?;
        let (flags, head) = self.fetch(&hub, &name).await?;
        match (contexts.as_slice(), many) {
            ([context], false) => {
                let explained = flags.explain(name.as_str(), context, &now);
                self.print_one(out, &head, context, &explained)?;
            }
            (contexts, _) => {
                let of = |context: &Context| {
                    Outcome::new(context, &flags.details(name.as_str(), None, context, &now))
                };
                let results: Vec<_> = contexts.iter().map(of).collect();
                self.print_many(out, &head, &results)?;
            }
        }
        Ok(Exit::Ok)
    }

    /// Whom it is evaluated for, and whether these are many.
    fn contexts(&self) -> Result<(Vec<Context>, bool), CliError> {
        let (file, values, many) = match &self.context_file {
            None => (String::new(), vec![Value::Object(serde_json::Map::new())], false),
            Some(path) => {
                let (file, bytes) = file::read_or_stdin(path, CONTEXT_BYTES)?;
                let read: Value = serde_json::from_slice(&bytes)
                    .map_err(|error| CliError::Usage(format!("{file} is no JSON: {error}")))?;
                match read {
                    Value::Array(values) => (file, values, true),
                    one => (file, vec![one], false),
                }
            }
        };
        let context = |(at, value): (usize, Value)| {
            let context = Context::from_json(value);
            let mut context = context.map_err(|error| {
                let place = if many { format!(", number {}", at + 1) } else { String::new() };
                CliError::Usage(format!("{file}{place}: {error}"))
            })?;
            for (name, value) in &self.context {
                context.set(name.clone(), value.clone());
            }
            if let Some(key) = &self.targeting_key {
                context.set("targetingKey", key.as_str());
            }
            Ok(context)
        };
        let contexts: Result<Vec<_>, CliError> = values.into_iter().enumerate().map(context).collect();
        Ok((contexts?, many))
    }

    /// The flag, and what it shares with others, as the service sees them.
    async fn fetch(&self, hub: &Hub, name: &FlagName) -> Result<(FlagSet, Head), CliError> {
        let service = wire_service(self.which.service.as_ref());
        let (mut keys, mut entries) = (vec![name.key().to_string(), SET_KEY.to_owned()], Vec::new());
        while !keys.is_empty() {
            let before = keys.len();
            let request = wire::BatchGetRequest { keys, service: service.clone() };
            let answer = hub.call("read the flag", hub.config().batch_get(request)).await?;
            entries.extend(answer.entries);
            keys = answer.remaining;
            keys.truncate(before - 1);
        }
        let Some(flag) = entries.iter().find(|entry| entry.key == name.key().as_str()) else {
            return Err(CliError::NoFlag(missing(&self.which, None)));
        };
        let head = Head {
            name: name.as_str().to_owned(),
            service: Some(flag.service.clone()).filter(|service| !service.is_empty()),
            version: flag.version,
            hash: self.hash.0.as_str(),
        };
        let mut flags = FlagSet::new(self.hash.0);
        flags.apply(entries.iter().map(|entry| {
            let change = if entry.secret { Change::Secret } else { Change::Value(&entry.value) };
            (entry.key.as_str(), change)
        }));
        Ok((flags, head))
    }

    fn print_one(
        &self,
        out: Out<'_>,
        head: &Head,
        context: &Context,
        explained: &Explanation,
    ) -> Result<(), CliError> {
        let result = Outcome::new(context, &explained.details);
        let json = One {
            head,
            metadata: &explained.details.metadata,
            decided_at: decided_at(&result, &explained.steps),
            steps: explained.steps.iter().map(StepJson::from).collect(),
            result: &result,
        };
        self.hub.output.print(out, &json, || text(head, &result, explained))
    }

    fn print_many(&self, out: Out<'_>, head: &Head, results: &[Outcome]) -> Result<(), CliError> {
        let mut variants = BTreeMap::new();
        for result in results {
            *variants.entry(result.variant.as_deref().unwrap_or_default()).or_default() += 1;
        }
        let json = Many { head, results, variants };
        self.hub.output.print(out, &json, || {
            let mut users = table(["TARGETING KEY", "VALUE", "VARIANT", "REASON"]);
            for result in results {
                let key = result.targeting_key.as_deref().unwrap_or_default();
                users.add_row(vec![
                    escaped(key),
                    result.value_cell(),
                    result.variant_cell(),
                    result.reason.to_owned(),
                ]);
            }
            let mut counts = table(["VARIANT", "USERS", "SHARE"]);
            for (variant, users) in &json.variants {
                let name = if variant.is_empty() { CODE } else { variant };
                #[expect(clippy::cast_precision_loss, reason = "a share is shown with two decimals")]
                let share = 100.0 * *users as f64 / results.len().max(1) as f64;
                counts.add_row(vec![escaped(name), users.to_string(), format!("{share:.2} %")]);
            }
            format!("{}\n{}", table_text(&users), table_text(&counts))
        })
    }
}

const CODE: &str = "(the code's default)";

impl Outcome {
    fn new(context: &Context, details: &Details<Option<FlagValue>>) -> Self {
        let error = details.error.as_ref();
        Self {
            targeting_key: context.targeting_key().map(str::to_owned),
            value: details.value.as_ref().map(FlagValue::to_json),
            variant: details.variant.as_ref().map(ToString::to_string),
            reason: details.reason.as_str(),
            error: error.map(|error| ErrorJson { code: error.code.as_str(), message: error.message.clone() }),
        }
    }

    fn value_cell(&self) -> String {
        self.value
            .as_ref()
            .map_or_else(|| CODE.to_owned(), |value| shown(value.to_string().as_bytes(), false))
    }

    fn variant_cell(&self) -> String {
        self.variant.as_deref().map_or_else(|| CODE.to_owned(), escaped)
    }
}

/// Where the variant was named, if the rule has named it: the innermost part that came to
/// it.
fn decided_at<'s>(result: &Outcome, steps: &'s [Step]) -> Option<&'s str> {
    if result.reason != confhub_flags::Reason::TargetingMatch.as_str() {
        return None;
    }
    let variant = result.variant.as_deref()?;
    let named = steps.iter().rev().find(|step| step.value.as_str() == Some(variant));
    named.or(steps.first()).map(|step| step.pointer.as_str())
}

fn text(head: &Head, result: &Outcome, explained: &Explanation) -> String {
    let whom = result.targeting_key.as_deref().map(|key| format!(" for {key}")).unwrap_or_default();
    let service = service_cell(head.service.as_deref().unwrap_or_default());
    let mut text = format!(
        "{} {service}, version {}{}\n  value    {}\n  variant  {}\n  reason   {}\n",
        escaped(&head.name),
        head.version,
        escaped(&whom),
        result.value_cell(),
        result.variant_cell(),
        result.reason,
    );
    if let Some(error) = &result.error {
        text += &format!("  error    {}: {}\n", error.code, escaped(&error.message));
    }
    if let Some(pointer) = decided_at(result, &explained.steps) {
        text += &format!("  decided  {}\n", escaped(pointer));
    }
    if !explained.steps.is_empty() {
        text += "\nWhat was looked at, and what it came to:\n";
    }
    for step in &explained.steps {
        let note = step.note.as_deref().map(|note| format!("  ({note})")).unwrap_or_default();
        let operator = step.operator.as_deref().map(|name| format!("{name} ")).unwrap_or_default();
        let value = shown(step.value.to_string().as_bytes(), false);
        let line = format!("{}{}  {operator}= {value}{note}", "  ".repeat(step.depth + 1), step.pointer);
        text += &format!("{}\n", escaped(&line));
    }
    text
}

/// Reads `NAME=VALUE`.
fn attribute(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), scalar(value))),
        _ => Err("expected NAME=VALUE, such as plan=pro".to_owned()),
    }
}

/// Seconds since 1970, for rules that ask for the time.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.ok().and_then(|since| i64::try_from(since.as_secs()).ok()).unwrap_or_default()
}
