//! Settings from environment variables: `CONFHUB_` and the setting's name in
//! capitals, with `_` for dots and dashes.

use super::Source;
use super::error::{ConfigError, did_you_mean};
use super::source::{Given, Raw};
use super::table::TABLE;
use std::ffi::OsString;

const PREFIX: &str = "CONFHUB_";

/// The variable that names the configuration file.
pub(super) const CONFIG: &str = "CONFHUB_CONFIG";

/// Variables that are not settings of the hub: the client commands read them.
const OTHERS: [&str; 9] = [
    CONFIG,
    "CONFHUB_ENDPOINT",
    "CONFHUB_TOKEN",
    "CONFHUB_OUTPUT",
    "CONFHUB_HEALTH_URL",
    "CONFHUB_CA_FILE",
    "CONFHUB_SERVER_NAME",
    "CONFHUB_CLIENT_CERT",
    "CONFHUB_CLIENT_KEY",
];

/// What the variables set. One that begins like ours but is none is a mistake:
/// a misspelt limit would otherwise go unnoticed. An empty one sets nothing, as
/// a template leaves it that had no value: it must not take an issuer away.
pub(super) fn given(variables: Vec<(OsString, OsString)>, errors: &mut Vec<ConfigError>) -> Vec<Given> {
    // What is lost here is in no name of ours, so such a name is still a mistake.
    let named = variables.into_iter().map(|(name, value)| (name.to_string_lossy().into_owned(), value));
    let mut ours: Vec<_> = named.filter(|(name, _)| name.starts_with(PREFIX)).collect();
    ours.sort();
    let mut given = Vec::new();
    for (name, value) in ours {
        let setting = TABLE.iter().find(|setting| setting.variable() == name);
        if setting.is_none() && (OTHERS.contains(&&*name) || is_service_link(&name)) {
            continue;
        }
        let problem = match (setting, value.into_string()) {
            (Some(_), Ok(value)) if value.is_empty() => continue,
            (Some(setting), Ok(value)) => {
                given.push(Given {
                    setting: setting.name(),
                    raw: Raw::Text(value),
                    source: Source::Env(name),
                });
                continue;
            }
            (Some(_), Err(_)) => "is not UTF-8".to_owned(),
            (None, _) => {
                let known: Vec<_> = TABLE.iter().map(|setting| setting.variable()).collect();
                let hint = did_you_mean(&name, known.iter().map(String::as_str).chain(OTHERS));
                format!("there is no such setting{hint}")
            }
        };
        errors.push(ConfigError { setting: name.clone(), source: Source::Env(name), problem });
    }
    given
}

/// Kubernetes gives every pod such variables for each Service of its namespace;
/// they begin like ours if the Service is named `confhub` or `confhub-…`.
fn is_service_link(name: &str) -> bool {
    let endpoint = |rest: &str| {
        let mut words = rest.split('_');
        words.next().is_some_and(|port| port.parse::<u16>().is_ok())
            && matches!(words.next(), Some("TCP" | "UDP" | "SCTP"))
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.split("_PORT_").skip(1).any(endpoint)
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
