//! `completions`: for the shell.

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output;
use clap::{Args, Command};
use clap_complete::Shell;

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  confhub completions bash > ~/.local/share/bash-completion/completions/confhub
  confhub completions zsh > ~/.zfunc/_confhub
  confhub completions fish > ~/.config/fish/completions/confhub.fish"
)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, mut command: Command) -> Result<Exit, CliError> {
        let name = command.get_name().to_owned();
        // Into memory first: the generator panics where it cannot write.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        output::write(&mut std::io::stdout(), &script, b"")?;
        Ok(Exit::Ok)
    }
}
