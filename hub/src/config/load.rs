//! Puts defaults, file, environment and flags together.

use super::error::ConfigError;
use super::source::Given;
use super::table::{TABLE, find};
use super::{ConfigErrors, ServeArgs, Settings, Source, checks, environment, file, print};
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// The effective settings, and where each comes from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Those that somebody has set.
    sources: HashMap<&'static str, Source>,
}

impl Loaded {
    /// Where the setting of this dotted name comes from; `None`: there is none.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<&Source> {
        find(name).map(|setting| self.sources.get(setting.name()).unwrap_or(&Source::Default))
    }

    /// The effective settings as a configuration file, each with its source.
    #[must_use]
    pub fn to_toml(&self) -> String {
        print::to_toml(self)
    }
}

/// Loads the settings. The environment is an argument ([`std::env::vars_os`]),
/// and so are the kinds of backends that there are.
///
/// # Errors
/// All mistakes at once.
pub fn load(
    flags: &ServeArgs,
    env: impl Iterator<Item = (OsString, OsString)>,
    backends: &[&str],
) -> Result<Loaded, ConfigErrors> {
    let env: Vec<_> = env.collect();
    let mut errors = Vec::new();
    let mut given = match config_file(flags, &env) {
        Some(path) => file::given(&path, &mut errors),
        None => Vec::new(),
    };
    given.extend(environment::given(env, &mut errors));
    given.extend(flags.given(&mut errors));

    let mut loaded = Loaded { settings: Settings::default(), sources: HashMap::new() };
    for one in given {
        apply(&mut loaded, one, &mut errors);
    }
    if loaded.source("backends").is_none_or(|source| *source == Source::Default) {
        loaded.settings.backends = loaded.settings.profile.backends();
    }
    errors.sort_by_key(|error| error.source.order());
    checks::across(&loaded, backends, &mut errors);
    if errors.is_empty() { Ok(loaded) } else { Err(ConfigErrors(errors)) }
}

fn config_file(flags: &ServeArgs, env: &[(OsString, OsString)]) -> Option<PathBuf> {
    let variable = || env.iter().find(|(name, value)| name == environment::CONFIG && !value.is_empty());
    flags.config.clone().or_else(|| variable().map(|(_, value)| value.into()))
}

fn apply(loaded: &mut Loaded, given: Given, errors: &mut Vec<ConfigError>) {
    let Some(setting) = TABLE.iter().find(|setting| setting.name() == given.setting) else { return };
    match setting.set(&mut loaded.settings, &given.raw) {
        Ok(()) => drop(loaded.sources.insert(setting.name(), given.source)),
        Err(reason) => {
            let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
            let problem = format!("{} is wrong{reason}; expected is {}", given.raw, setting.expected());
            errors.push(ConfigError { setting: given.setting.to_owned(), source: given.source, problem });
        }
    }
}

#[cfg(test)]
mod tests;
