//! `flag on` and `flag off`: for everybody, at once.
//!
//! Off means the same value in every service. flagd's state DISABLED does not: it gives
//! whatever each service's code has for a default. So `off` is a switch in front of the
//! rules, which `on` takes out; --disable is there for those who mean the other thing.

use super::edit::{Edit, JSON_HELP, quoted, variant};
use super::find::state;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Out;
use clap::Args;
use confhub_flags::{DefinitionText, FlagState, Rule};

/// Turn a flag off for everybody
///
/// Everybody gets the off variant, whatever the rules say, until `flag on`. Rules and shares
/// are kept behind the switch, and can be changed there.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_long_help = format!("\
Examples:
  confhub flag off newCheckout
  confhub flag off --service cart cartFailure
  confhub flag off theme --variant plain
  confhub flag off newCheckout --expect-version 7

The off variant is the one that is called `off`, or the only one that is false. The switch is the
rule {{\"if\": [true, \"off\", …]}}, which every evaluator of flagd's understands.
{JSON_HELP}"))]
pub(super) struct Off {
    /// The variant that everybody gets
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    /// Set flagd's state DISABLED instead: each service uses the default of its own code
    #[arg(long, conflicts_with = "variant")]
    disable: bool,
    #[command(flatten)]
    pub(super) edit: Edit,
}

impl Off {
    pub(super) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        self.edit.run(out, |_, text| self.change(text)).await
    }

    fn change(&self, text: &mut DefinitionText) -> Result<(), CliError> {
        if self.disable {
            if state(text) != FlagState::Disabled {
                text.set("state", quoted("DISABLED"));
            }
            return Ok(());
        }
        let off = variant(text, self.variant.as_deref(), "off", false, "--variant")?;
        let mut rule = Rule::of(text);
        let by_default = rule == Rule::default() && text.value("defaultVariant") == off.as_str();
        if !by_default && rule.switch.as_ref() != Some(&off) {
            rule.switch = Some(off);
            rule.write(text);
        }
        Ok(())
    }
}

/// Turn a flag on
///
/// What `flag off` has turned off is again what it was: its rule decides, or its default
/// variant. A flag that has no rule gets the on variant as its default, for everybody.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_long_help = format!("\
Examples:
  confhub flag on newCheckout
  confhub flag on theme --variant dark
  confhub flag on newCheckout --expect-version 8

The on variant is the one that is called `on`, or the only one that is true. A flag whose rule
decides is left as it is: `flag set-percentage NAME 100`, or `flag target --clear` before `flag on`,
give it to everybody.
{JSON_HELP}"))]
pub(super) struct On {
    /// The default variant, for a flag that has no rule
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    #[command(flatten)]
    pub(super) edit: Edit,
}

impl On {
    pub(super) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        self.edit.run(out, |_, text| self.change(text)).await
    }

    fn change(&self, text: &mut DefinitionText) -> Result<(), CliError> {
        let was_disabled = state(text) == FlagState::Disabled;
        if was_disabled {
            text.set("state", quoted("ENABLED"));
        }
        let mut rule = Rule::of(text);
        let on = variant(text, None, "on", true, "--variant").ok();
        // A rule of somebody's own can give everybody the on variant, too.
        let was_off = rule.switch.take_if(|switch| on.as_ref() != Some(switch)).is_some();
        if rule.switch.is_some() {
            return Ok(());
        }
        if rule.rest.is_some() && self.variant.is_some() {
            return Err(CliError::Usage(
                "the flag has a rule, which decides who gets what: --variant is for flags without. \
                 `confhub flag target NAME --clear` takes the rule out"
                    .to_owned(),
            ));
        }
        if was_off {
            rule.write(text);
        }
        let named = self.variant.as_deref();
        // What was turned off is what it was, and needs no variant that is called on.
        if rule.rest.is_none() && (named.is_some() || !(was_off || was_disabled)) {
            let on = variant(text, named, "on", true, "--variant")?;
            if text.value("defaultVariant") != on.as_str() {
                text.set("defaultVariant", quoted(&on));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::applied::WaitArgs;
    use crate::cli::args::{HubArgs, TrustArgs};
    use crate::cli::output::Output;
    use std::time::Duration;

    fn edit() -> Edit {
        let hub = HubArgs {
            endpoint: String::new(),
            allow_plaintext: false,
            trust: TrustArgs::default(),
            client_cert: None,
            client_key: None,
            token: None,
            token_file: None,
            timeout: Duration::ZERO,
            output: Output::Json,
        };
        let which = super::super::find::Which { name: "f".to_owned(), service: None };
        Edit { which, expect_version: None, wait: WaitArgs::default(), hub }
    }

    fn flag(members: &str) -> DefinitionText {
        let text = format!(r#"{{"variants":{{"on":true,"off":false}},"state":"ENABLED"{members}}}"#);
        DefinitionText::parse(text.as_bytes()).unwrap()
    }

    fn off(text: &mut DefinitionText) -> bool {
        let before = text.clone();
        Off { variant: None, disable: false, edit: edit() }.change(text).unwrap();
        *text != before
    }

    fn on(text: &mut DefinitionText) -> bool {
        let before = text.clone();
        On { variant: None, edit: edit() }.change(text).unwrap();
        *text != before
    }

    #[test]
    fn on_brings_back_what_off_has_put_aside() {
        for members in [
            r#","defaultVariant":"on""#,
            r#","defaultVariant":"off","targeting":{"fractional": [["on", 5],["off", 95]]}"#,
            "",
        ] {
            let mut text = flag(members);
            let before = text.clone();
            assert!(off(&mut text) && !off(&mut text), "{text}");
            assert!(text.to_string().contains(r#"{"if":[true,"off","#), "{text}");
            assert!(on(&mut text), "{text}");
            assert_eq!(text, before);
        }
    }

    #[test]
    fn what_is_so_already_is_left_alone() {
        let mut text = flag(r#","defaultVariant":"off""#);
        assert!(!off(&mut text));
        assert!(on(&mut text) && !on(&mut text));
        assert_eq!(text.value("defaultVariant"), "on");
        for everybody in [r#","targeting":{"if":[true,"on"]}"#, r#","targeting":{"var":"variant"}"#] {
            assert!(!on(&mut flag(everybody)), "{everybody}");
        }
        let mut disabled = flag(r#","defaultVariant":"off","targeting":{"var":"v"}"#);
        Off { variant: None, disable: true, edit: edit() }.change(&mut disabled).unwrap();
        assert_eq!(disabled.value("state"), "DISABLED");
        assert!(on(&mut disabled));
        assert_eq!(
            (disabled.value("state"), disabled.value("defaultVariant")),
            ("ENABLED".into(), "off".into())
        );
    }

    #[test]
    fn variants_of_other_names_are_named_or_found_by_their_values() {
        let parse = |text: &str| DefinitionText::parse(text.as_bytes()).unwrap();
        let mut text = parse(r#"{"variants":{"yes":true,"no":false},"defaultVariant":"yes"}"#);
        assert!(off(&mut text) && text.to_string().contains(r#"[true,"no",null]"#));
        let mut theme = parse(r#"{"variants":{"dark":"d","plain":"p"},"defaultVariant":"dark"}"#);
        let refused = Off { variant: None, disable: false, edit: edit() }.change(&mut theme).unwrap_err();
        assert!(
            refused.to_string().contains("name the one that is meant with --variant, of `dark`, `plain`")
        );
        let of = |name: &str| Off { variant: Some(name.to_owned()), disable: false, edit: edit() };
        assert!(of("x").change(&mut theme).unwrap_err().to_string().contains("no variant `x`"));
        of("plain").change(&mut theme).unwrap();
        assert_eq!(Rule::of(&theme).switch.as_deref(), Some("plain"));
    }
}
