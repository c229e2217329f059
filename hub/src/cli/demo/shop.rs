//! The shop: settings and flags of a public system, built into the program.

use crate::cli::compare::Files;
use crate::cli::error::CliError;
use confhub_proto::Prefix;

const SERVICES: &str = include_str!("../../../demo/otel-demo.services.json");
const FLAGS: &str = include_str!("../../../demo/otel-demo.flagd.json");

/// Put before each of its names.
const PREFIX: &str = "tenant_config_";

/// A setting that all services read, and what the story makes of it.
pub(super) const SETTING: &str = "tenant_config_kafka_addr";

/// A flag.
pub(super) const FLAG: &str = "cartFailure";

/// Its key.
pub(super) const FLAG_KEY: &str = "tenant_config_flag.cartFailure";

/// A flag of truth values.
pub(super) const BOOLEAN: &str = "adFailure";

/// A service that asks for it.
pub(super) const ASKS: &str = "cart";

/// Its files, checked.
pub(super) fn files() -> Result<Files, CliError> {
    let file = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec());
    let files = vec![file("otel-demo.services.json", SERVICES), file("otel-demo.flagd.json", FLAGS)];
    Files::new(files, Some(Prefix::new(PREFIX)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_has_the_key_of_its_name() {
        assert_eq!(confhub_flags::FlagName::new(FLAG).unwrap().key().as_str(), FLAG_KEY);
    }
}
