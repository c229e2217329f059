//! What was found, and how it is told.

use crate::cli::exit::Exit;
use crate::cli::output::{escaped, table, table_text};
use serde::Serialize;

/// How a resource stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// It is as a hub needs it.
    Ok,
    /// It is not there.
    Missing,
    /// Who asks may not.
    Denied,
    /// It does not answer.
    Unreachable,
    /// It is there, and not as a hub needs it.
    Wrong,
    /// Nothing that changes nothing can tell.
    NotChecked,
}

impl State {
    fn shown(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::Denied => "denied",
            Self::Unreachable => "unreachable",
            Self::Wrong => "wrong",
            Self::NotChecked => "not checked",
        }
    }

    fn is_trouble(self) -> bool {
        !matches!(self, Self::Ok | Self::NotChecked)
    }
}

/// What was found of one resource.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) resource: &'static str,
    pub(super) state: State,
    /// What there is, what is wrong and what to do.
    pub(super) what: String,
    /// What works, and not as well as it could.
    pub(super) warnings: Vec<String>,
}

impl Finding {
    pub(super) fn new(resource: &'static str, state: State, what: impl Into<String>) -> Self {
        Self { resource, state, what: what.into(), warnings: Vec::new() }
    }

    pub(super) fn ok(resource: &'static str, what: impl Into<String>) -> Self {
        Self::new(resource, State::Ok, what)
    }

    pub(super) fn not_checked(resource: &'static str, what: impl Into<String>) -> Self {
        Self::new(resource, State::NotChecked, what)
    }

    /// With a warning, if there is one.
    pub(super) fn warn(mut self, warning: Option<String>) -> Self {
        self.warnings.extend(warning);
        self
    }
}

/// What was found of all of them.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    ok: bool,
    resources: Vec<Finding>,
}

impl Report {
    /// Without credentials every call fails alike: that is told once.
    pub(super) fn new(mut resources: Vec<Finding>) -> Self {
        let unknown = resources.iter().any(|one| one.resource == ACCOUNT && one.state == State::Denied);
        if unknown {
            for one in
                resources.iter_mut().filter(|one| one.resource != ACCOUNT && one.state == State::Denied)
            {
                *one = Finding::not_checked(one.resource, "the credentials come first");
            }
        }
        Self { ok: !resources.iter().any(|one| one.state.is_trouble()), resources }
    }

    pub(super) fn exit(&self) -> Exit {
        if self.ok { Exit::Ok } else { Exit::Failure }
    }

    pub(super) fn text(&self) -> String {
        let mut rows = table(["RESOURCE", "STATE", "WHAT"]);
        for one in &self.resources {
            rows.add_row(vec![one.resource.to_owned(), one.state.shown().to_owned(), escaped(&one.what)]);
            for warning in &one.warnings {
                rows.add_row(vec![String::new(), String::new(), format!("warning: {}", escaped(warning))]);
            }
        }
        let trouble = self.resources.iter().filter(|one| one.state.is_trouble()).count();
        let warnings: usize = self.resources.iter().map(|one| one.warnings.len()).sum();
        let last = match (trouble, warnings) {
            (0, 0) => "Everything that was checked is right.".to_owned(),
            (0, 1) => "Everything that was checked is right, with 1 warning.".to_owned(),
            (0, more) => format!("Everything that was checked is right, with {more} warnings."),
            (1, _) => "1 resource is not right.".to_owned(),
            (more, _) => format!("{more} resources are not right."),
        };
        format!("{}\n{last}", table_text(&rows))
    }
}

/// The resource of credentials and account.
pub(super) const ACCOUNT: &str = "account";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_and_what_cannot_be_told_fail_nothing() {
        let fine = Finding::ok("topic", "there").warn(Some("alone\u{7}".to_owned())).warn(None);
        let report = Report::new(vec![fine, Finding::not_checked("own queues", "made by the hub")]);
        assert_eq!(report.exit(), Exit::Ok);
        let text = report.text();
        assert!(text.contains("warning: alone\\u{7}") && text.contains("not checked"), "{text}");
        assert!(text.ends_with("is right, with 1 warning."), "{text}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((&json["ok"], &json["resources"][1]["state"]), (&true.into(), &"not_checked".into()));
        for state in [State::Missing, State::Denied, State::Unreachable, State::Wrong] {
            assert_eq!(
                Report::new(vec![Finding::new("table", state, "")]).exit(),
                Exit::Failure,
                "{state:?}"
            );
        }
    }

    #[test]
    fn without_credentials_there_is_one_trouble() {
        let denied = |resource| Finding::new(resource, State::Denied, "no credentials");
        let gone = Finding::new("topic", State::Unreachable, "");
        let report = Report::new(vec![denied(ACCOUNT), denied("table"), gone]);
        let states: Vec<_> = report.resources.iter().map(|one| one.state).collect();
        assert_eq!(states, [State::Denied, State::NotChecked, State::Unreachable]);
        // A right that lacks says nothing of the others.
        let report = Report::new(vec![Finding::ok(ACCOUNT, ""), denied("table")]);
        assert_eq!(report.resources[1].state, State::Denied);
    }
}
