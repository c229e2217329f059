//! `rollback`: an earlier version, written again.

use super::history::{entry, revisions};
use super::{Written, key, wire_service};
use crate::cli::applied::WaitArgs;
use crate::cli::args::HubArgs;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::hub::Hub;
use crate::cli::output::Out;
use clap::Args;
use confhub_proto::{Key, ServiceName, wire};
use std::collections::BTreeSet;

/// Write an earlier version again
///
/// The content of the old version becomes a new version; nothing is taken out of the history.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  confhub history tenant_config_limits
  confhub rollback tenant_config_limits 3
  confhub rollback tenant_config_limits 3 --expect-version 5
  confhub rollback param_config_limits --to-label good

JSON: {\"key\", \"service\" (null: shared), \"version\" (the new one)}.
A label is a name that the store has for a version, such as Parameter Store's; `confhub history`
shows them. Exit code 3 if the version is not kept or no version has the label, 4 if the present version is another,
8 if --wait does not see it applied."
)]
pub(crate) struct Rollback {
    /// The key
    key: String,
    /// The version to write again
    #[arg(value_name = "VERSION", required_unless_present = "to_label", conflicts_with = "to_label")]
    to: Option<u64>,
    /// Write again the version that has this label
    #[arg(long, value_name = "NAME")]
    to_label: Option<String>,
    /// The service that the entry belongs to; without it, the shared one
    #[arg(long)]
    service: Option<ServiceName>,
    /// Write only if the entry has this version now; 0: only if there is none
    #[arg(long, value_name = "N")]
    expect_version: Option<u64>,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

impl Rollback {
    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let key = key(&self.key)?;
        let hub = Hub::connect(&self.hub).await?;
        let to_version = match (self.to, &self.to_label) {
            (Some(version), _) => version,
            (None, Some(label)) => {
                let kept = revisions(&hub, &key, self.service.as_ref(), None).await?;
                labelled(&key, label, &kept)?
            }
            (None, None) => return Err(CliError::Usage("name a VERSION or a --to-label".to_owned())),
        };
        let request = wire::RollbackRequest {
            key: key.to_string(),
            service: wire_service(self.service.as_ref()),
            to_version,
            expected_version: self.expect_version,
        };
        let call = format!("roll `{key}` back to version {to_version}");
        let answer = hub.write(&call, hub.admin().rollback(request)).await?;
        let written = Written::new(&key, self.service.as_ref(), answer.version);
        let done = format!("has the content of version {to_version} again, as");
        written.finish(&hub, &self.wait, (self.hub.output, out), &done).await
    }
}

/// The version that has a label; the newest, if a store knows several.
fn labelled(key: &Key, label: &str, kept: &[wire::Revision]) -> Result<u64, CliError> {
    match kept.iter().find(|revision| revision.labels.iter().any(|one| one == label)) {
        Some(revision) => Ok(entry(revision)?.version),
        None => {
            let known: BTreeSet<_> =
                kept.iter().flat_map(|revision| revision.labels.iter().cloned()).collect();
            Err(CliError::NoLabel {
                key: key.to_string(),
                label: label.to_owned(),
                known: known.into_iter().collect(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_a_version_or_the_labels_that_there_are_are_told() {
        let key: Key = "param_config_x".parse().unwrap();
        let revision = |version, labels: &[&str]| wire::Revision {
            entry: Some(wire::Entry { version, ..Default::default() }),
            labels: labels.iter().map(ToString::to_string).collect(),
            ..Default::default()
        };
        let kept = [revision(3, &[]), revision(2, &["good", "prod"]), revision(1, &["first"])];
        assert_eq!(labelled(&key, "good", &kept).unwrap(), 2);
        let error = labelled(&key, "Good", &kept).unwrap_err();
        assert_eq!(error.exit(), Exit::NotFound);
        let text = error.to_string();
        assert!(text.contains("`Good`") && text.contains("`first`, `good`, `prod`"), "{text}");
        let text = labelled(&key, "good", &kept[..1]).unwrap_err().to_string();
        assert!(text.contains("no version has a label"), "{text}");
    }
}
