//! `flag create`: a flag that was not there.

use super::edit::{Changed, JSON_HELP, put, quoted, variant};
use super::find::{Which, name};
use crate::cli::applied::WaitArgs;
use crate::cli::args::HubArgs;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::hub::Hub;
use crate::cli::output::Out;
use clap::Args;
use confhub_flags::DefinitionText;
use serde_json::{Map, Value};

/// Make a flag
///
/// Without options it is true or false, and off for everybody.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_long_help = format!("\
Examples:
  confhub flag create newCheckout --description 'the new checkout'
  confhub flag create newCheckout --on
  confhub flag create theme --variants '{{\"plain\": \"p\", \"dark\": \"d\"}}' --default plain
  confhub flag create retries --variants '{{\"few\": 1, \"many\": 5}}' --code-default
  confhub flag create newCheckout --service cart

{JSON_HELP} (4: if there is one already.)"))]
pub(super) struct Create {
    #[command(flatten)]
    which: Which,
    /// The variants, a JSON object of values by name
    #[arg(long, value_name = "JSON", default_value = r#"{"on": true, "off": false}"#)]
    variants: String,
    /// The variant that everybody gets; without it, the off variant
    #[arg(long, value_name = "VARIANT", conflicts_with_all = ["on", "code_default"])]
    default: Option<String>,
    /// Everybody gets the on variant
    #[arg(long, conflicts_with = "code_default")]
    on: bool,
    /// There is no default variant: each service uses the default of its own code
    #[arg(long)]
    code_default: bool,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    pub(super) hub: HubArgs,
}

impl Create {
    pub(super) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let name = name(&self.which.name)?;
        let text = self.definition()?;
        let hub = Hub::connect(&self.hub).await?;
        let service = self.which.service.as_ref();
        let version = put(&hub, &name, service, &text, 0).await?;
        let changed = Changed::new(&name, service, &text, version, true);
        changed.finish(&hub, &self.wait, (self.hub.output, out)).await
    }

    fn definition(&self) -> Result<DefinitionText, CliError> {
        let read: Result<Map<String, Value>, _> = serde_json::from_str(&self.variants);
        read.map_err(|error| {
            CliError::Usage(format!("the variants `{}` are no JSON object: {error}", self.variants))
        })?;
        let mut text = DefinitionText::default();
        if let Some(description) = &self.description {
            text.set("description", quoted(description));
        }
        text.set("state", quoted("ENABLED"));
        text.set("variants", self.variants.trim());
        if !self.code_default {
            let default = match self.on {
                true => variant(&text, None, "on", true, "--default")?,
                false => variant(&text, self.default.as_deref(), "off", false, "--default")?,
            };
            text.set("defaultVariant", quoted(&default));
        }
        Ok(text)
    }
}
