//! The flags of `confhub serve`, read off the table of settings.
//!
//! Values are taken as text here: what they mean, and whether they are right,
//! is found out together with the file and the environment.

use super::error::ConfigError;
use super::error::did_you_mean;
use super::source::{Given, Raw};
use super::table::{TABLE, find};
use super::{Settings, Source};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::path::PathBuf;

/// The flags of `confhub serve`.
#[derive(Debug, Clone, Default)]
pub struct ServeArgs {
    /// `--config`: the configuration file.
    pub config: Option<PathBuf>,
    /// `--print-config`: print the effective settings and end.
    pub print_config: bool,
    /// `--set name=value`, in the order of the command line.
    pub set: Vec<String>,
    /// The settings with flags of their own, by their dotted names.
    values: Vec<(&'static str, String)>,
}

impl ServeArgs {
    /// What the flags set. `--set` comes last, and wins.
    pub(super) fn given(&self, errors: &mut Vec<ConfigError>) -> Vec<Given> {
        let mut given = Vec::new();
        for (setting, value) in &self.values {
            let flag = find(setting).and_then(super::table::Setting::flag).unwrap_or_default();
            let source = Source::Flag(format!("--{flag}"));
            given.push(Given { setting, raw: Raw::Text(value.clone()), source });
        }
        for text in &self.set {
            let source = Source::Flag("--set".to_owned());
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name.trim(), value.trim()),
                None => (text.trim(), ""),
            };
            let problem = match find(name) {
                Some(setting) if text.contains('=') => {
                    let raw = Raw::Text(value.to_owned());
                    given.push(Given { setting: setting.name(), raw, source });
                    continue;
                }
                Some(_) => "has no value; expected is `--set name=value`".to_owned(),
                None => {
                    let known = TABLE.iter().map(|setting| setting.name());
                    format!("there is no such setting{}", did_you_mean(name, known))
                }
            };
            errors.push(ConfigError { setting: name.to_owned(), source, problem });
        }
        given
    }
}

impl clap::Args for ServeArgs {
    fn augment_args(command: Command) -> Command {
        let mut command = command
            .arg(
                Arg::new("config")
                    .long("config")
                    .value_name("FILE")
                    .value_parser(clap::value_parser!(PathBuf))
                    .help("Configuration file, in TOML [env: CONFHUB_CONFIG]"),
            )
            .arg(
                Arg::new("print-config")
                    .long("print-config")
                    .action(ArgAction::SetTrue)
                    .help("Print the effective settings, each with its source, and end"),
            );
        let mut defaults = Settings::default();
        for setting in TABLE {
            if let Some(flag) = setting.flag() {
                let arg = Arg::new(setting.name()).long(flag).value_name("VALUE").action(ArgAction::Set);
                let help = format!("{} [env: {}]", setting.help(), setting.variable());
                let default = match setting.show(&mut defaults) {
                    none if none == "\"\"" || none == "[]" => "none".to_owned(),
                    some => some,
                };
                let long = format!("{help}\n\nDefault is {default}; expected is {}.", setting.expected());
                command = command.arg(arg.help(help).long_help(long));
            }
        }
        command.arg(
            Arg::new("set")
                .long("set")
                .value_name("NAME=VALUE")
                .action(ArgAction::Append)
                .help("Set any setting by its name in the file; --help lists them")
                .long_help(all_settings()),
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.config = matches.get_one::<PathBuf>("config").cloned();
        self.print_config = matches.get_flag("print-config");
        self.set = matches.get_many::<String>("set").into_iter().flatten().cloned().collect();
        let with_flag = TABLE.iter().filter(|setting| setting.flag().is_some());
        let value = |name| matches.get_one::<String>(name).map(|value| (name, value.clone()));
        self.values = with_flag.filter_map(|setting| value(setting.name())).collect();
        Ok(())
    }
}

fn all_settings() -> String {
    let mut text = "Set any setting by its name in the file. The settings are:".to_owned();
    for setting in TABLE {
        text.push_str(&format!("\n  {}: {}", setting.name(), setting.help()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Args;

    #[test]
    fn the_help_of_each_flag_has_its_default() {
        let help = ServeArgs::augment_args(Command::new("serve")).render_long_help().to_string();
        for default in ["\"confhub-data\"", "\"127.0.0.1:7600\"", "none", "\"15s\"", "\"info\""] {
            assert!(help.contains(&format!("Default is {default}; expected is")), "{default} in {help}");
        }
    }
}
