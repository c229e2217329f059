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

/// Who wrote `version`, by its description and that of the version before. A
/// description outlives the version that it was written for when somebody else
/// writes without one; then it is the same as the one before, and is not for
/// this version. (The number in it tells two writes of one author apart, and is
/// another than its version's own after a race that was lost.)
fn author<'a>(description: &'a str, before: Option<&str>, version: u64) -> Option<&'a str> {
    let (author, of) = description.strip_prefix(WRITTEN_BY)?.rsplit_once(AS_VERSION)?;
    let own = of.parse() == Ok(version) || before.is_some_and(|before| before != description);
    own.then_some(author)
}

impl Ssm {
    /// The versions of the parameter `name` at `address`, newest first.
    pub(super) fn revisions(
        &self,
        name: &str,
        address: &Address,
        mut found: Vec<ParameterHistory>,
    ) -> Vec<Revision> {
        found.sort_by_key(|version| version.version);
        let mut revisions = Vec::new();
        let mut before: Option<String> = None;
        for mut version in found {
            let labels = version.labels.take().unwrap_or_default();
            let described = version.description.take().unwrap_or_default();
            let user = version.last_modified_user.take().unwrap_or_default();
            if let Some(stored) = self.stored(name, address, version) {
                let entry = stored.entry;
                let author = author(&described, before.as_deref(), entry.version());
                let author = author.map_or(user, str::to_owned);
                revisions.push(Revision { entry, deleted: false, author, labels });
            }
            before = Some(described);
        }
        revisions.reverse();
        revisions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_tells_the_author_of_its_own_version_alone() {
        let text = description("alice as version 9", 7);
        let alice = Some("alice as version 9");
        assert_eq!(author(&text, None, 7), alice);
        assert_eq!(author(&text, Some("limits of the shop"), 7), alice);
        // Somebody else wrote, and the description stayed.
        assert_eq!(author(&text, Some(&text), 8), None);
        // Somebody else was faster.
        assert_eq!(author(&text, Some(&description("bob", 6)), 8), alice);
        assert_eq!(author(&text, None, 8), None);
        assert_eq!(author("limits of the shop", None, 1), None);
        let long = description(&"é".repeat(2_000), u64::MAX);
        assert_eq!(long.chars().count(), DESCRIPTION_CHARS);
        assert!(author(&long, None, u64::MAX).is_some());
    }
}
