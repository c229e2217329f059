//! Settings from environment variables: `CONFHUB_` and the setting's name in
//! capitals, with `_` for dots and dashes.

use super::Source;
use super::error::{ConfigError, did_you_mean};
use super::source::{Given, Raw};
use super::table::TABLE;

const PREFIX: &str = "CONFHUB_";

/// The variable that names the configuration file.
pub(super) const CONFIG: &str = "CONFHUB_CONFIG";

/// Variables that are not settings of the hub: the client commands read them.
const OTHERS: [&str; 4] = [CONFIG, "CONFHUB_ENDPOINT", "CONFHUB_TOKEN", "CONFHUB_OUTPUT"];

/// The environment of this process, for [`super::load`]. Unlike
/// [`std::env::vars`], it does not panic at a name or value that is no text.
pub fn process_env() -> impl Iterator<Item = (String, String)> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(move |(name, value)| (text(name), text(value)))
}

/// What the variables set. One that begins like ours but is none is a mistake:
/// a misspelt limit would otherwise go unnoticed.
pub(super) fn given(
    variables: impl Iterator<Item = (String, String)>,
    errors: &mut Vec<ConfigError>,
) -> Vec<Given> {
    let mut ours: Vec<_> = variables.filter(|(name, _)| name.starts_with(PREFIX)).collect();
    ours.sort();
    let mut given = Vec::new();
    for (name, value) in ours {
        if OTHERS.contains(&&*name) || is_service_link(&name) {
            continue;
        }
        if let Some(setting) = TABLE.iter().find(|setting| setting.variable() == name) {
            given.push(Given { setting: setting.name(), raw: Raw::Text(value), source: Source::Env(name) });
            continue;
        }
        let known: Vec<_> = TABLE.iter().map(|setting| setting.variable()).collect();
        let hint = did_you_mean(&name, known.iter().map(String::as_str).chain(OTHERS));
        errors.push(ConfigError {
            setting: name.clone(),
            source: Source::Env(name),
            problem: format!("there is no such setting{hint}"),
        });
    }
    given
}

/// Kubernetes gives every pod such variables if a Service is named `confhub`.
fn is_service_link(name: &str) -> bool {
    name.starts_with("CONFHUB_SERVICE_") || name == "CONFHUB_PORT" || name.starts_with("CONFHUB_PORT_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_setting_is_taken_for_something_else() {
        for setting in TABLE {
            let variable = setting.variable();
            assert!(!is_service_link(&variable) && !OTHERS.contains(&&*variable), "{variable}");
            let same = TABLE.iter().filter(|other| other.variable() == variable).count();
            assert_eq!(same, 1, "{variable}");
        }
    }
}
