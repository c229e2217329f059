//! One flag, compiled.

use crate::error::Faults;
use crate::logic::{self, Compiled, Env, Val};
use crate::value::{ErrorCode, EvaluationError, FlagValue, Metadata, Reason};
use crate::{Common, Context, Definition, FlagName, FlagState, HashVersion, Slot};
use std::sync::Arc;

/// A flag that can be evaluated.
#[derive(Debug)]
pub struct Flag {
    definition: Definition,
    /// Sorted by name.
    variants: Box<[Variant]>,
    default: DefaultVariant,
    rule: Option<Compiled>,
    metadata: Arc<Metadata>,
}

#[derive(Debug)]
pub(crate) struct Variant {
    pub(crate) name: Arc<str>,
    /// `None`: null.
    pub(crate) value: Option<FlagValue>,
}

#[derive(Debug)]
enum DefaultVariant {
    /// The default of the code.
    Code,
    /// Which of the variants.
    At(usize),
    /// There is no such variant, which is an error once it is needed.
    Unknown,
}

/// What came of an evaluation.
#[derive(Debug)]
pub(crate) enum Outcome<'f> {
    Variant(&'f Variant, &'f FlagValue, Reason),
    /// The default of the code.
    Code(Reason),
    Failed(EvaluationError),
}

impl Flag {
    /// Compiles a definition.
    ///
    /// # Errors
    /// If its rule uses an operator or an evaluator that does not exist, or is too large.
    pub fn compile(definition: Definition, common: &Common) -> Result<Self, Faults> {
        let mut faults = Faults::new(Some(Slot::Flag(definition.name.clone())));
        let rule = definition.targeting.as_ref();
        let rule = rule.map(|rule| logic::compile(rule, "/targeting", &common.evaluators, &mut faults));
        let variants: Box<[_]> = definition
            .variants
            .iter()
            .map(|(name, value)| Variant { name: name.as_str().into(), value: FlagValue::new(value) })
            .collect();
        let default = match &definition.default_variant {
            None => DefaultVariant::Code,
            Some(name) => find(&variants, name).map_or(DefaultVariant::Unknown, DefaultVariant::At),
        };
        let mut metadata = common.metadata.clone();
        metadata.extend(definition.metadata.iter().map(|(name, value)| (name.clone(), value.clone())));
        faults.into_result(Self { definition, variants, default, rule, metadata: Arc::new(metadata) })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &FlagName {
        &self.definition.name
    }

    /// What it was compiled from.
    #[must_use]
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// Its metadata, over that of all flags.
    #[must_use]
    pub fn metadata(&self) -> &Arc<Metadata> {
        &self.metadata
    }

    /// Whether it is evaluated at all.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.definition.state == FlagState::Enabled
    }

    /// Whether its rule refers to an evaluator.
    pub(crate) fn refers(&self) -> bool {
        self.rule.as_ref().is_some_and(|rule| rule.refers)
    }

    pub(crate) fn evaluate(
        &self,
        context: &Context,
        clock: &dyn Fn() -> i64,
        hash: HashVersion,
    ) -> Outcome<'_> {
        if !self.is_enabled() {
            return Outcome::Code(Reason::Disabled);
        }
        let Some(rule) = &self.rule else { return self.default(Reason::Static) };
        let env = Env::new(self.name().as_str(), context, clock, hash);
        match env.run(&rule.rule) {
            Ok(Val::Null) => self.default(Reason::Default),
            Ok(Val::Str(name)) => self.named(&name),
            Ok(other) => {
                let mut name = String::new();
                other.print(&mut name);
                self.named(&name)
            }
            Err(logic::TooMuch) => failed(format!("the rule takes more than {} steps", crate::limits::FUEL)),
        }
    }

    /// The variant that the rule names.
    fn named(&self, name: &str) -> Outcome<'_> {
        let found = find(&self.variants, name).and_then(|at| self.variants.get(at));
        match found {
            Some(variant @ Variant { value: Some(value), .. }) => {
                Outcome::Variant(variant, value, Reason::TargetingMatch)
            }
            Some(_) => failed(format!("the variant `{}` has no value", crate::name::shown(name))),
            None => failed(format!(
                "the rule names `{}`, which is none of the variants",
                crate::name::shown(name)
            )),
        }
    }

    fn default(&self, reason: Reason) -> Outcome<'_> {
        match self.default {
            DefaultVariant::Code => Outcome::Code(Reason::Default),
            DefaultVariant::At(at) => match self.variants.get(at) {
                Some(variant @ Variant { value: Some(value), .. }) => {
                    Outcome::Variant(variant, value, reason)
                }
                _ => failed("the default variant has no value".to_owned()),
            },
            DefaultVariant::Unknown => failed("the default variant is none of the variants".to_owned()),
        }
    }
}

fn find(variants: &[Variant], name: &str) -> Option<usize> {
    variants.binary_search_by(|variant| (*variant.name).cmp(name)).ok()
}

fn failed<'f>(message: String) -> Outcome<'f> {
    Outcome::Failed(EvaluationError { code: ErrorCode::General, message })
}
