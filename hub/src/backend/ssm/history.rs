//! Earlier versions, and who wrote them.

use super::Ssm;
use crate::backend::Revision;
use crate::source::Address;
use aws_sdk_ssm::types::ParameterHistory;

/// How the description of what a hub wrote begins. Parameter Store itself knows
/// only the role of the hub as the writer.
const WRITTEN_BY: &str = "confhub: written by ";

/// What stands between the writer and the version.
const AS_VERSION: &str = " as version ";

/// Longest description, in characters.
/// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html>
const DESCRIPTION_CHARS: usize = 1_024;

/// The description of what `author` writes as `version`.
pub(super) fn description(author: &str, version: u64) -> String {
    let end = format!("{AS_VERSION}{version}");
    let room = DESCRIPTION_CHARS - WRITTEN_BY.len() - end.len();
    let author: String = author.chars().take(room).collect();
    format!("{WRITTEN_BY}{author}{end}")
}

/// Who wrote `version`, by its description. A description may outlive the version
/// that it was written for, when somebody else writes without one: it only counts
/// for its own version.
fn author(description: &str, version: u64) -> Option<&str> {
    let (author, of) = description.strip_prefix(WRITTEN_BY)?.rsplit_once(AS_VERSION)?;
    (of.parse() == Ok(version)).then_some(author)
}

impl Ssm {
    /// One version of the parameter `name` at `address`.
    pub(super) fn revision(
        &self,
        name: &str,
        address: &Address,
        mut found: ParameterHistory,
    ) -> Option<Revision> {
        let labels = found.labels.take().unwrap_or_default();
        let described = found.description.take().unwrap_or_default();
        let user = found.last_modified_user.take().unwrap_or_default();
        let entry = self.stored(name, address, found)?.entry;
        let author = author(&described, entry.version()).map_or(user, str::to_owned);
        Some(Revision { entry, deleted: false, author, labels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_tells_the_author_of_its_own_version_alone() {
        let text = description("alice as version 9", 7);
        assert_eq!(author(&text, 7), Some("alice as version 9"));
        assert_eq!(author(&text, 8), None);
        assert_eq!(author("confhub: written by alice", 7), None);
        assert_eq!(author("limits of the shop", 1), None);
        let long = description(&"é".repeat(2_000), u64::MAX);
        assert_eq!(long.chars().count(), DESCRIPTION_CHARS);
        assert!(author(&long, u64::MAX).is_some());
    }
}
