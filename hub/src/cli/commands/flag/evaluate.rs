//! `flag evaluate`: what somebody gets, and why.

use super::evaluation::{Head, Outcome, print_many, print_one};
use super::find::{Which, missing, name};
use super::target::scalar;
use crate::cli::args::HubArgs;
use crate::cli::commands::wire_service;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::file;
use crate::cli::hub::Hub;
use crate::cli::output::Out;
use clap::Args;
use confhub_flags::{Change, Context, FlagName, FlagSet, HashVersion, SET_KEY};
use confhub_proto::wire;
use serde_json::Value;
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

impl Evaluate {
    pub(super) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let name = name(&self.which.name)?;
        let (contexts, many) = self.contexts()?;
        let hub = Hub::connect(&self.hub).await?;
        let (flags, head) = self.fetch(&hub, &name).await?;
        match (contexts.as_slice(), many) {
            ([context], false) => {
                let explained = flags.explain(name.as_str(), context, &now);
                print_one(self.hub.output, out, &head, context, &explained)?;
            }
            (contexts, _) => {
                let of = |context: &Context| {
                    Outcome::new(context, &flags.details(name.as_str(), None, context, &now))
                };
                let results: Vec<_> = contexts.iter().map(of).collect();
                print_many(self.hub.output, out, &head, &results)?;
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
