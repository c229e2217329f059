//! The effective settings as a configuration file.

use super::Loaded;
use super::table::TABLE;

/// A file that, loaded by itself, gives the same settings again.
pub(super) fn to_toml(loaded: &Loaded) -> String {
    let mut settings = loaded.settings.clone();
    let mut text =
        "# The effective settings; the comment beside each is where its value comes from.\n".to_owned();
    let mut group = "";
    for setting in TABLE {
        let (its_group, key) = setting.name().split_once('.').unwrap_or(("", setting.name()));
        if its_group != group {
            group = its_group;
            text.push_str(&format!("\n[{group}]\n"));
        }
        let source = loaded.source(setting.name()).map(ToString::to_string).unwrap_or_default();
        // A path may hold a line break, which would end the comment.
        let source: String = source.chars().flat_map(char::escape_debug).collect();
        let value = setting.show(&mut settings);
        text.push_str(&format!("# {}\n{key} = {value} # {source}\n", setting.help()));
    }
    text
}
