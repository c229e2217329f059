//! `flag target`: a variant for those whom a condition holds for.

use super::edit::{Edit, JSON_HELP, variant};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Out;
use clap::{ArgGroup, Args};
use confhub_flags::{DefinitionText, Rule};
use serde_json::{Value, json};

/// Give some users a variant, or take all rules out
///
/// The condition is looked at before all that the flag has already; who is not meant goes on to
/// them, and at the end to the share or the default variant.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    group = ArgGroup::new("what").required(true).args(["condition", "attribute", "clear"]),
    group = ArgGroup::new("relation").args(["equals", "one_of", "starts_with", "ends_with", "at_least"]),
    after_long_help = format!("\
Examples:
  confhub flag target newCheckout --attribute plan --equals pro --then on
  confhub flag target newCheckout --attribute email --ends-with @acme.example --then on
  confhub flag target newCheckout --attribute country --one-of de,at,ch --then off
  confhub flag target newCheckout --attribute version --at-least 2.4.0 --then on
  confhub flag target newCheckout --if '{{\"==\": [{{\"var\": \"plan\"}}, \"pro\"]}}' --then on
  confhub flag target newCheckout --clear

--if takes JSONLogic with flagd's operators (fractional, sem_ver, starts_with, ends_with, $ref). In the
short forms, true, false and numbers are what they look like; all else is text.
{JSON_HELP}")
)]
pub(super) struct Target {
    /// The condition, in JSONLogic
    #[arg(long = "if", value_name = "JSON", requires = "then")]
    condition: Option<String>,
    /// The attribute of the context that the condition is about
    #[arg(long, value_name = "NAME", requires = "then", requires = "relation")]
    attribute: Option<String>,
    /// It is this
    #[arg(long, value_name = "VALUE", requires = "attribute", allow_negative_numbers = true)]
    equals: Option<String>,
    /// It is one of these, which commas separate
    #[arg(long, value_name = "VALUES", requires = "attribute", value_delimiter = ',')]
    one_of: Vec<String>,
    /// It begins so
    #[arg(long, value_name = "TEXT", requires = "attribute")]
    starts_with: Option<String>,
    /// It ends so
    #[arg(long, value_name = "TEXT", requires = "attribute")]
    ends_with: Option<String>,
    /// It is this version or a later one
    #[arg(long, value_name = "VERSION", requires = "attribute")]
    at_least: Option<String>,
    /// The variant of those for whom it holds
    #[arg(long, value_name = "VARIANT")]
    then: Option<String>,
    /// Take all rules and shares out; a flag that is turned off stays so
    #[arg(long, conflicts_with = "then")]
    clear: bool,
    #[command(flatten)]
    pub(super) edit: Edit,
}

impl Target {
    pub(super) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let condition = self.condition()?;
        self.edit.run(out, |_, text| self.change(text, condition.as_deref())).await
    }

    fn change(&self, text: &mut DefinitionText, condition: Option<&str>) -> Result<(), CliError> {
        let mut rule = Rule::of(text);
        match (condition, &self.then) {
            (Some(condition), Some(then)) => {
                let then = variant(text, Some(then), "", true, "--then")?;
                rule.prepend(condition, &then);
            }
            _ => rule.rest = None,
        }
        if rule != Rule::of(text) {
            rule.write(text);
        }
        Ok(())
    }

    /// The condition as JSON; `None`: rules are to be taken out.
    fn condition(&self) -> Result<Option<String>, CliError> {
        if let Some(text) = &self.condition {
            let read: Result<Value, _> = serde_json::from_str(text);
            return match read {
                Ok(Value::Object(_)) => Ok(Some(text.trim().to_owned())),
                Ok(_) => Err(CliError::Usage(format!(
                    "the condition `{text}` is no rule, which is an object: {{\"==\": [{{\"var\": \"plan\"}}, \"pro\"]}}"
                ))),
                Err(error) => Err(CliError::Usage(format!("the condition `{text}` is no JSON: {error}"))),
            };
        }
        let Some(attribute) = &self.attribute else { return Ok(None) };
        let of = json!({"var": attribute});
        let condition = if let Some(value) = &self.equals {
            json!({"==": [of, scalar(value)]})
        } else if let Some(text) = &self.starts_with {
            json!({"starts_with": [of, text]})
        } else if let Some(text) = &self.ends_with {
            json!({"ends_with": [of, text]})
        } else if let Some(version) = &self.at_least {
            json!({"sem_ver": [of, ">=", version]})
        } else {
            json!({"in": [of, self.one_of.iter().map(|value| scalar(value)).collect::<Vec<_>>()]})
        };
        Ok(Some(condition.to_string()))
    }
}

/// A value as people type it: true, false and numbers, and otherwise a text.
pub(super) fn scalar(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_) | Value::String(_))) => value,
        _ => Value::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_is_what_it_looks_like() {
        for (text, value) in [
            ("5", json!(5)),
            ("-1.5", json!(-1.5)),
            ("true", json!(true)),
            ("pro", json!("pro")),
            ("\"5\"", json!("5")),
            ("1.2.3", json!("1.2.3")),
            ("", json!("")),
            ("null", json!("null")),
            ("[1]", json!("[1]")),
        ] {
            assert_eq!(scalar(text), value, "{text}");
        }
    }
}
