//! What leads a hub, and AWS's own tools, to the emulator.

use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// How the variables begin that say whose tokens a hub accepts. With them it
/// would refuse development tokens, so they are offered, not set.
const IDENTITY: &str = "CONFHUB_AUTH_";

/// The variables.
#[derive(Debug, Serialize)]
pub(super) struct Variables<'a> {
    endpoint: &'a str,
    variables: BTreeMap<String, String>,
    identity: BTreeMap<String, String>,
}

/// How a user of the pool gets a token.
pub(super) struct Users<'a> {
    pub(super) python: &'a Path,
    pub(super) scripts: &'a Path,
    pub(super) account: &'a str,
}

impl<'a> Variables<'a> {
    /// Of a stack that has told these settings.
    pub(super) fn new(endpoint: &'a str, region: &str, mut settings: BTreeMap<String, String>) -> Self {
        // AWS's own tools; some know the region under its older name alone.
        settings.insert("AWS_ENDPOINT_URL".to_owned(), endpoint.to_owned());
        settings.insert("AWS_DEFAULT_REGION".to_owned(), region.to_owned());
        let (identity, variables) = settings.into_iter().partition(|(name, _)| name.starts_with(IDENTITY));
        Self { endpoint, variables, identity }
    }

    /// As lines for a shell, with what else there is to know as comments.
    pub(super) fn shell(&self, users: &Users<'_>) -> String {
        let mut text = self.lines("export ");
        let region = self.variables.get("AWS_DEFAULT_REGION").map_or("us-east-1", String::as_str);
        text.push_str(
            "\n# As it is, a hub accepts development tokens (`confhub token`). With these it accepts\n\
             # those of the stack's user pool instead:\n",
        );
        for (name, value) in &self.identity {
            text.push_str(&format!("# export {name}={}\n", quoted(value)));
        }
        text.push_str(&format!(
            "# A user there, and a token for it:\n# {} {} --endpoint {} --account {} --region {} --tenant acme --group writer alice\n",
            quoted(&users.python.to_string_lossy()),
            quoted(&users.scripts.join("local/user.py").to_string_lossy()),
            quoted(self.endpoint),
            users.account,
            quoted(region),
        ));
        text
    }

    /// As lines of a file that shells and container tools read.
    pub(super) fn file(&self) -> String {
        self.lines("")
    }

    fn lines(&self, before: &str) -> String {
        self.variables.iter().map(|(name, value)| format!("{before}{name}={}\n", quoted(value))).collect()
    }
}

/// As a shell takes it for one word, and as it stands if that is what a shell
/// makes of it anyway.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,@%+=".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_is_offered_and_the_rest_is_set() {
        let settings = [("CONFHUB_AUTH_ISSUER", "https://idp/pool"), ("CONFHUB_AWS_TABLE", "a table")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let variables = Variables::new("http://127.0.0.1:1", "eu-west-1", BTreeMap::from(settings));
        let file = "AWS_DEFAULT_REGION=eu-west-1\nAWS_ENDPOINT_URL=http://127.0.0.1:1\nCONFHUB_AWS_TABLE='a table'\n";
        assert_eq!(variables.file(), file);
        let users = Users { python: Path::new("/p"), scripts: Path::new("/s"), account: "000000000000" };
        let shell = variables.shell(&users);
        assert!(
            shell.starts_with("export AWS_DEFAULT_REGION=eu-west-1\nexport AWS_ENDPOINT_URL=http"),
            "{shell}"
        );
        assert!(shell.contains("\n# export CONFHUB_AUTH_ISSUER=https://idp/pool\n"), "{shell}");
        assert!(
            shell.contains(
                "/s/local/user.py --endpoint http://127.0.0.1:1 --account 000000000000 --region eu-west-1"
            ),
            "{shell}"
        );
        let set = |line: &str| line.is_empty() || line.starts_with("export ") || line.starts_with("# ");
        assert!(shell.lines().all(set), "{shell}");
        let json = serde_json::to_value(&variables).unwrap();
        assert_eq!(json["identity"]["CONFHUB_AUTH_ISSUER"], "https://idp/pool");
        assert_eq!(json["variables"]["CONFHUB_AWS_TABLE"], "a table");
    }

    #[test]
    fn a_shell_gets_back_what_was_quoted() {
        for text in ["plain-1.0:/@%+=,", "", "a b", "it's", "$HOME", "`x`", "a\nb", "~", "*", "é"] {
            let script = format!("printf %s {}", quoted(text));
            let ran = std::process::Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(ran.stdout).unwrap(), text, "{script}");
        }
    }
}
