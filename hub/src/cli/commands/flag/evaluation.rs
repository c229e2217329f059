//! What `flag evaluate` prints.

use crate::cli::entry_view::service_cell;
use crate::cli::error::CliError;
use crate::cli::output::{Out, Output, escaped, shown, table, table_text};
use confhub_flags::{Context, Details, Explanation, FlagValue, Reason, Step};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What was evaluated.
#[derive(Serialize)]
pub(super) struct Head {
    pub(super) name: String,
    pub(super) service: Option<String>,
    pub(super) version: u64,
    pub(super) hash: &'static str,
}

/// What came of it for one of many.
#[derive(Serialize)]
pub(super) struct Outcome {
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

/// Prints one evaluation with the way that it took.
pub(super) fn print_one(
    output: Output,
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
    output.print(out, &json, || text(head, &result, explained))
}

/// Prints what many get, and how many get the same.
pub(super) fn print_many(
    output: Output,
    out: Out<'_>,
    head: &Head,
    results: &[Outcome],
) -> Result<(), CliError> {
    let mut variants = BTreeMap::new();
    for result in results {
        *variants.entry(result.variant.as_deref().unwrap_or_default()).or_default() += 1;
    }
    let json = Many { head, results, variants };
    output.print(out, &json, || {
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

const CODE: &str = "(the code's default)";

impl Outcome {
    pub(super) fn new(context: &Context, details: &Details<Option<FlagValue>>) -> Self {
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
    if result.reason != Reason::TargetingMatch.as_str() {
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
