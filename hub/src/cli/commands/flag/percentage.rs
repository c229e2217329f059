//! `flag set-percentage`: a flag for a share of users.

use super::edit::{Edit, JSON_HELP, variant};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Out;
use clap::Args;
use confhub_flags::{DefinitionText, FlagName, Percentage, set_percentage_of_text};

/// Give a flag to a share of users
///
/// Who is among them follows from the flag's name and the user's targeting key alone: it is the
/// same in every service, and whoever has the flag at 5 % has it at 20 %. Rules that are there
/// stay in front: the share is that of those whom no rule names.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_long_help = format!("\
Examples:
  confhub flag set-percentage newCheckout 5
  confhub flag set-percentage newCheckout 12.5
  confhub flag set-percentage theme 20 --on dark --off plain
  confhub flag set-percentage newCheckout 100 --expect-version 9

A user without a targeting key is in no share, and gets the default variant. On a flag that is
turned off, the share is kept for when it is on again.
{JSON_HELP}"))]
pub(super) struct SetPercentage {
    /// The share in percent, with up to three decimals
    #[arg(index = 2, value_name = "PERCENT")]
    share: Percentage,
    /// The variant of those who are in it; without it, `on`, or the only one that is true
    #[arg(long, value_name = "VARIANT")]
    on: Option<String>,
    /// The variant of those who are not; without it, `off`, or the only one that is false
    #[arg(long, value_name = "VARIANT")]
    off: Option<String>,
    #[command(flatten)]
    pub(super) edit: Edit,
}

impl SetPercentage {
    pub(super) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        self.edit.run(out, |name, text| self.change(name, text)).await
    }

    fn change(&self, name: &FlagName, text: &mut DefinitionText) -> Result<(), CliError> {
        let on = variant(text, self.on.as_deref(), "on", true, "--on")?;
        let off = variant(text, self.off.as_deref(), "off", false, "--off")?;
        if on == off {
            return Err(CliError::Usage(format!("--on and --off are both `{on}`: name two variants")));
        }
        set_percentage_of_text(name, text, self.share, &on, &off)
            .map_err(|faults| CliError::Usage(faults.to_string()))
    }
}
