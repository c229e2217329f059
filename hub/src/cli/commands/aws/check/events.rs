//! The rules that send change events on.

use super::calls::{Failed, heard};
use super::pattern::{self, Match};
use super::report::{Finding, State};
use crate::aws::Account;
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::RuleState;
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};

/// Most buses that are looked at: what one call lists.
const BUSES: i32 = 100;

/// Most rules of a bus, with one target, that are looked at.
const RULES: i32 = 50;

/// Calls at a time: an account allows ten and more a second.
const AT_A_TIME: usize = 5;

/// The bus to which AWS's own services report.
const DEFAULT: &str = "default";

/// Which events somebody has to send.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) table: bool,
    pub(super) parameters: bool,
    pub(super) secrets: bool,
    /// First part of the names of parameters and secrets.
    pub(super) root: &'a str,
}

/// Where events are to go.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// A topic.
    Topic(String),
    /// A queue, which a topic may stand before.
    Queue(String),
}

/// A rule that sends events there.
#[derive(Debug)]
struct Rule {
    name: String,
    bus: String,
    enabled: bool,
    /// `None`: it is not known.
    pattern: Option<Value>,
}

/// What was looked at.
#[derive(Debug, Default)]
struct Seen {
    rules: Vec<Rule>,
    buses: Vec<String>,
    failed: Vec<Failed>,
    /// There are more than were looked at.
    more: bool,
}

/// Looks at the rules for each kind of event that is wanted.
pub(super) async fn check(account: &Account, target: &Target, wanted: Wanted<'_>) -> Vec<Finding> {
    let seen = look(&Client::new(account.config()), target).await;
    let mut found = judge(&seen, target, wanted);
    found.extend(pipe(wanted));
    found
}

async fn look(client: &Client, target: &Target) -> Seen {
    let mut seen = Seen::default();
    match heard("events:ListEventBuses", client.list_event_buses().limit(BUSES).send().await) {
        Ok(answer) => {
            seen.more = answer.next_token.is_some();
            let buses = answer.event_buses.unwrap_or_default();
            seen.buses = buses.into_iter().filter_map(|bus| bus.name).collect();
        }
        Err(failed) => {
            let silent = failed.state == State::Unreachable;
            seen.failed.push(failed);
            if silent {
                return seen;
            }
        }
    }
    if !seen.buses.iter().any(|bus| bus == DEFAULT) {
        seen.buses.push(DEFAULT.to_owned());
    }
    let (Target::Topic(arn) | Target::Queue(arn)) = target;
    let names = stream::iter(seen.buses.clone()).map(|bus| async move {
        let asked = client.list_rule_names_by_target().target_arn(arn).event_bus_name(&bus).limit(RULES);
        (heard("events:ListRuleNamesByTarget", asked.send().await), bus)
    });
    let names: Vec<_> = names.buffer_unordered(AT_A_TIME).collect().await;
    let mut rules = Vec::new();
    for (answer, bus) in names {
        match answer {
            Ok(answer) => {
                seen.more |= answer.next_token.is_some();
                rules.extend(
                    answer.rule_names.unwrap_or_default().into_iter().map(|name| (name, bus.clone())),
                );
            }
            Err(failed) => seen.failed.push(failed),
        }
    }
    let described = stream::iter(rules).map(|(name, bus)| async move {
        let asked = client.describe_rule().name(&name).event_bus_name(&bus).send().await;
        let answer = heard("events:DescribeRule", asked)?;
        let pattern = answer.event_pattern.and_then(|pattern| serde_json::from_str(&pattern).ok());
        let enabled = answer.state.is_none_or(|state| state != RuleState::Disabled);
        Ok(Rule { name, bus, enabled, pattern })
    });
    let described: Vec<_> = described.buffer_unordered(AT_A_TIME).collect().await;
    for rule in described {
        match rule {
            Ok(rule) => seen.rules.push(rule),
            Err(failed) => seen.failed.push(failed),
        }
    }
    seen
}

/// What no setting names, and so nobody can look at.
fn pipe(wanted: Wanted<'_>) -> Option<Finding> {
    wanted.table.then(|| {
        Finding::not_checked(
            "table pipe",
            "no setting names the pipe from the table's stream to the bus: see that it runs, with \
             `aws pipes list-pipes`",
        )
    })
}

fn judge(seen: &Seen, target: &Target, wanted: Wanted<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    if wanted.parameters {
        found.push(seen.finding("parameter events", target, &parameter_samples(wanted.root)));
    }
    if wanted.table {
        found.push(seen.table_finding(target));
    }
    if wanted.secrets {
        let finding = seen.finding("secret events", target, &[secret_label_sample(wanted.root)]);
        let recorded = secret_call_samples(wanted.root);
        let unknown = finding.state != State::Ok || seen.pass(&recorded).0 != Match::No;
        found.push(finding.warn((!unknown).then(|| {
            "no rule sends on what CloudTrail records of secrets: those made and deleted are found by sweeps alone"
                .to_owned()
        })));
    }
    found
}

impl Seen {
    /// Whether the rules let all of these events through, and which rules do so.
    fn pass(&self, samples: &[Value]) -> (Match, Vec<&Rule>) {
        let enabled = || self.rules.iter().filter(|rule| rule.enabled);
        let lets = |sample: &Value| enabled().map(|rule| rule.lets(sample)).max().unwrap_or(Match::No);
        let all = samples.iter().map(lets).min().unwrap_or(Match::No);
        let which = enabled().filter(|rule| samples.iter().any(|sample| rule.lets(sample) == Match::Yes));
        (all, which.collect())
    }

    fn finding(&self, resource: &'static str, target: &Target, samples: &[Value]) -> Finding {
        match self.pass(samples) {
            (Match::Yes, rules) => Finding::ok(resource, format!("sent on by {}", listed(&rules))),
            (Match::Unknown, _) => {
                let unknown: Vec<_> = self.rules.iter().filter(|rule| rule.enabled).collect();
                let what = format!("{} may send them on: the pattern is beyond this check", listed(&unknown));
                Finding::not_checked(resource, what)
            }
            (Match::No, some) => self.none(resource, target, samples, &some),
        }
    }

    /// Nothing sends on all of them.
    fn none(&self, resource: &'static str, target: &Target, samples: &[Value], some: &[&Rule]) -> Finding {
        let off =
            |rule: &&Rule| !rule.enabled && samples.iter().any(|sample| rule.lets(sample) == Match::Yes);
        let off: Vec<_> = self.rules.iter().filter(off).collect();
        if !off.is_empty() {
            return Finding::new(
                resource,
                State::Wrong,
                format!("enable {}, which is disabled", listed(&off)),
            );
        }
        if let Some(failed) = self.failed.first() {
            return failed.finding(resource, "make it (infra/stack.yaml does)");
        }
        if !some.is_empty() {
            let what = format!("{} sends on some of them, not all: see its pattern", listed(some));
            return Finding::new(resource, State::Wrong, what);
        }
        let looked = format!(
            "looked on {} `{}`{}",
            if self.buses.len() == 1 { "the bus" } else { "the buses" },
            self.buses.join("`, `"),
            if self.more { " (there are more)" } else { "" }
        );
        match target {
            Target::Topic(arn) => Finding::new(
                resource,
                State::Missing,
                format!("no rule sends them to `{arn}` ({looked}): make one, as infra/stack.yaml does"),
            ),
            Target::Queue(arn) => Finding::not_checked(
                resource,
                format!(
                    "no rule sends them to `{arn}` itself ({looked}); that is right if a topic or a pipe does"
                ),
            ),
        }
    }

    /// A pipe may be told to give its events any name: a rule whose pattern is not
    /// for AWS's own events may be for these.
    fn table_finding(&self, target: &Target) -> Finding {
        let resource = "table events";
        let finding = self.finding(resource, target, &[table_sample()]);
        if finding.state == State::Ok {
            return finding;
        }
        let other =
            |rule: &&Rule| rule.enabled && rule.bus != DEFAULT && rule.lets(&foreign_sample()) == Match::No;
        let others: Vec<_> = self.rules.iter().filter(other).collect();
        match others.is_empty() {
            true => finding,
            false => Finding::not_checked(
                resource,
                format!("{} may be for them: see that its pattern is what the pipe sends", listed(&others)),
            ),
        }
    }
}

impl Rule {
    fn lets(&self, event: &Value) -> Match {
        self.pattern.as_ref().map_or(Match::Unknown, |pattern| pattern::matches(pattern, event))
    }
}

fn listed(rules: &[&Rule]) -> String {
    let names: Vec<_> = rules.iter().map(|rule| format!("`{}` (bus `{}`)", rule.name, rule.bus)).collect();
    names.join(", ")
}

/// What Parameter Store reports of a parameter below the root.
fn parameter_samples(root: &str) -> Vec<Value> {
    let sample = |operation: &&str| {
        json!({
            "source": "aws.ssm",
            "detail-type": "Parameter Store Change",
            "detail": {"operation": operation, "name": format!("/{root}/acme/shared/param_config_x"), "type": "String"},
        })
    };
    ["Create", "Update", "Delete"].iter().map(sample).collect()
}

/// What the stack's pipe makes of a record of the table's stream.
fn table_sample() -> Value {
    json!({
        "source": "confhub.table",
        "detail-type": "DynamoDB Stream Record",
        "detail": {"eventSource": "aws:dynamodb", "eventName": "MODIFY", "dynamodb": {"Keys": {
            "pk": {"S": "TENANT#acme"},
            "sk": {"S": "CONFIG#tenant_config_x"},
        }}},
    })
}

/// An event that no rule of confhub is about.
fn foreign_sample() -> Value {
    json!({"source": "aws.health", "detail-type": "AWS Health Event", "detail": {}})
}

fn secret_label_sample(root: &str) -> Value {
    json!({
        "source": "aws.secretsmanager",
        "detail-type": "Secret Label Updated",
        "detail": {"name": format!("/{root}/acme/shared/secret_config_x")},
    })
}

fn secret_call_samples(root: &str) -> Vec<Value> {
    let name = format!("/{root}/acme/shared/secret_config_x");
    let sample = |(call, field): (&str, &str)| {
        json!({
            "source": "aws.secretsmanager",
            "detail-type": "AWS API Call via CloudTrail",
            "detail": {
                "eventSource": "secretsmanager.amazonaws.com",
                "eventName": call,
                "requestParameters": {field: name},
            },
        })
    };
    [("CreateSecret", "name"), ("DeleteSecret", "secretId")].into_iter().map(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::super::calls::failed;
    use super::*;

    fn rule(name: &str, bus: &str, enabled: bool, pattern: Value) -> Rule {
        Rule { name: name.to_owned(), bus: bus.to_owned(), enabled, pattern: Some(pattern) }
    }

    fn parameters(enabled: bool, root: &str) -> Rule {
        let pattern = json!({
            "source": ["aws.ssm"],
            "detail-type": ["Parameter Store Change"],
            "detail": {"name": [{"prefix": format!("/{root}/")}], "operation": ["Create", "Update", "Delete"]},
        });
        rule("parameters", DEFAULT, enabled, pattern)
    }

    fn states(rules: Vec<Rule>, target: &Target) -> Vec<(&'static str, State)> {
        let seen = Seen { rules, buses: vec![DEFAULT.to_owned()], ..Seen::default() };
        let wanted = Wanted { table: true, parameters: true, secrets: true, root: "confhub" };
        judge(&seen, target, wanted).into_iter().map(|one| (one.resource, one.state)).collect()
    }

    fn topic() -> Target {
        Target::Topic("arn:aws:sns:eu-central-1:123456789012:changes".to_owned())
    }

    #[test]
    fn rules_are_there_enabled_and_for_our_names() {
        let table = || rule("table", "own", true, json!({"source": ["confhub.table"]}));
        let label = || rule("label", DEFAULT, true, json!({"detail-type": ["Secret Label Updated"]}));
        let all = states(vec![parameters(true, "confhub"), table(), label()], &topic());
        assert!(all.iter().all(|(_, state)| *state == State::Ok), "{all:?}");
        assert!(states(vec![], &topic()).iter().all(|(_, state)| *state == State::Missing));
        let queue = Target::Queue("arn".to_owned());
        assert!(states(vec![], &queue).iter().all(|(_, state)| *state == State::NotChecked));
        assert_eq!(states(vec![parameters(false, "confhub")], &topic())[0].1, State::Wrong);
        assert_eq!(states(vec![parameters(true, "other")], &topic())[0].1, State::Missing);
        let some = json!({"source": ["aws.ssm"], "detail": {"operation": ["Create"]}});
        assert_eq!(states(vec![rule("some", DEFAULT, true, some)], &topic())[0].1, State::Wrong);
        let odd = json!({"source": ["aws.ssm"], "detail": {"name": [{"wildcard": "*"}]}});
        assert_eq!(states(vec![rule("odd", DEFAULT, true, odd)], &topic())[0].1, State::NotChecked);
    }

    #[test]
    fn a_pipe_of_another_name_may_be_the_tables() {
        let other = || json!({"source": ["Pipe mine"]});
        assert_eq!(states(vec![rule("mine", "own", true, other())], &topic())[1].1, State::NotChecked);
        // What is for all events is for those, and AWS's own rules are not.
        assert_eq!(states(vec![rule("all", "own", true, json!({}))], &topic())[1].1, State::Ok);
        assert_eq!(states(vec![parameters(true, "confhub")], &topic())[1].1, State::Missing);
    }

    #[test]
    fn what_could_not_be_looked_at_is_not_missing() {
        let denied = failed("events:ListRuleNamesByTarget", State::Denied);
        let seen = Seen { buses: vec![DEFAULT.to_owned()], failed: vec![denied], ..Seen::default() };
        let wanted = Wanted { table: false, parameters: true, secrets: false, root: "confhub" };
        assert_eq!(judge(&seen, &topic(), wanted)[0].state, State::Denied);
    }

    #[test]
    fn secrets_that_are_made_are_told_by_their_calls_alone() {
        let label = rule("label", DEFAULT, true, json!({"detail-type": ["Secret Label Updated"]}));
        let calls = json!({"detail-type": ["AWS API Call via CloudTrail"]});
        let mut seen = Seen { rules: vec![label], buses: vec![DEFAULT.to_owned()], ..Seen::default() };
        let wanted = Wanted { table: false, parameters: false, secrets: true, root: "confhub" };
        assert_eq!(judge(&seen, &topic(), wanted)[0].warnings.len(), 1);
        seen.rules.push(rule("calls", DEFAULT, true, calls));
        assert!(judge(&seen, &topic(), wanted)[0].warnings.is_empty());
    }
}
