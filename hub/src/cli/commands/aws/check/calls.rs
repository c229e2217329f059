//! What came of calls, as findings.

use super::report::{Finding, State};
use crate::aws::{cause, said};
use crate::backend::Cause;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use std::error::Error;

/// A call that failed: the right that it takes, how, and what AWS says.
#[derive(Debug, Clone)]
pub(super) struct Failed {
    right: &'static str,
    pub(super) state: State,
    pub(super) said: String,
}

/// Takes an answer, or says what came of the call that takes `right`.
pub(super) fn heard<T, E>(
    right: &'static str,
    outcome: Result<T, SdkError<E, HttpResponse>>,
) -> Result<T, Failed>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    outcome.map_err(|error| {
        // A service that fails says nothing of what it was asked about.
        let down = error.raw_response().is_some_and(|response| response.status().is_server_error());
        let state = if down { State::Unreachable } else { state(cause(&error)) };
        // What is said of credentials has a line for each place where there are none.
        let said = said(&error).split_whitespace().collect::<Vec<_>>().join(" ");
        Failed { right, state, said }
    })
}

fn state(cause: Cause) -> State {
    match cause {
        Cause::Denied => State::Denied,
        Cause::Missing => State::Missing,
        Cause::Timeout | Cause::Unreachable | Cause::Throttled => State::Unreachable,
        Cause::Failed => State::Wrong,
    }
}

impl Failed {
    /// In words: `missing` says what to do if the thing is not there.
    pub(super) fn tell(&self, missing: &str) -> String {
        let todo = match self.state {
            State::Denied => "allow it to the hub's role, as HubPolicy in infra/stack.yaml does",
            State::Missing => missing,
            State::Unreachable => "try again; is the region right, and does a way lead there from here?",
            State::Wrong | State::Ok | State::NotChecked => "",
        };
        let todo = if todo.is_empty() { String::new() } else { format!("; {todo}") };
        format!("`{}`: {}{todo}", self.right, self.said)
    }

    /// As the finding of a resource.
    pub(super) fn finding(&self, resource: &'static str, missing: &str) -> Finding {
        Finding::new(resource, self.state, self.tell(missing))
    }
}

/// The finding of several calls: all that failed, or what is so if none did.
pub(super) fn together(
    resource: &'static str,
    calls: impl IntoIterator<Item = Result<(), Failed>>,
    missing: &str,
    what: &str,
) -> Finding {
    let failed: Vec<Failed> = calls.into_iter().filter_map(Result::err).collect();
    match failed.first() {
        None => Finding::ok(resource, what),
        Some(first) => {
            let told: Vec<_> = failed.iter().map(|one| one.tell(missing)).collect();
            Finding::new(resource, first.state, told.join("; "))
        }
    }
}

#[cfg(test)]
pub(super) fn failed(right: &'static str, state: State) -> Failed {
    Failed { right, state, said: "no".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_that_failed_is_told_with_what_to_do() {
        let calls = [
            Ok(()),
            Err(failed("dynamodb:Query", State::Denied)),
            Err(failed("dynamodb:GetItem", State::Missing)),
        ];
        let finding = together("table reads", calls, "make it", "may be read");
        assert_eq!(finding.state, State::Denied);
        assert!(
            finding.what.contains("`dynamodb:Query`: no; allow it to the hub's role"),
            "{}",
            finding.what
        );
        assert!(finding.what.contains("`dynamodb:GetItem`: no; make it"), "{}", finding.what);
        let fine = together("table reads", [Ok(()), Ok(())], "make it", "may be read");
        assert_eq!(fine, Finding::ok("table reads", "may be read"));
    }
}
