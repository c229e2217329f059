//! A provider for the crate `open-feature`: programs that know OpenFeature's API use it,
//! and this client evaluates.
//!
//! It is a thin layer over [`Flags`]: whoever has the choice evaluates with those, which
//! cost no allocation and no `await`. That crate has no events yet; take
//! [`Flags::events`] in their place.
//!
//! Its API has no way to say that a flag has no value and the code's default is meant (a
//! flag that is disabled, or names no variant). As in flagd's own provider that is an
//! error with the code `FLAG_NOT_FOUND`, whose message says what it is; the usual
//! `.unwrap_or(default)` does what is meant.

use crate::flags::{Context, Details, ErrorCode, Flags, FromFlag, now};
use crate::{Client, Status};
use open_feature::provider::{FeatureProvider, ProviderMetadata, ProviderStatus, ResolutionDetails};
use open_feature::{
    EvaluationContext, EvaluationContextFieldValue, EvaluationError, EvaluationErrorCode, EvaluationReason,
    EvaluationResult, FlagMetadata, FlagMetadataValue, StructValue, Value, async_trait,
};
use serde_json::Value as Json;
use std::sync::Arc;

/// What OpenFeature knows the provider as.
const NAME: &str = "confhub";

/// A client as a provider of OpenFeature.
///
/// ```no_run
/// use confhub_client::openfeature::Provider;
/// use open_feature::{EvaluationContext, OpenFeature};
///
/// # async fn run(client: &confhub_client::Client) {
/// OpenFeature::singleton_mut().await.set_provider(Provider::new(client)).await;
///
/// let flags = OpenFeature::singleton().await.create_client();
/// let context = EvaluationContext::default().with_targeting_key("user-42").with_custom_field("country", "de");
/// let fails = flags.get_bool_value("adFailure", Some(&context), None).await.unwrap_or(false);
/// # let _ = fails;
/// # }
/// ```
#[derive(Debug)]
pub struct Provider {
    client: Client,
    flags: Flags,
    metadata: ProviderMetadata,
}

impl Provider {
    /// A provider with the flags of this client, which it keeps.
    #[must_use]
    pub fn new(client: &Client) -> Self {
        Self { client: client.clone(), flags: client.flags(), metadata: ProviderMetadata::new(NAME) }
    }

    fn resolve<T: FromFlag, R>(
        &self,
        key: &str,
        context: &EvaluationContext,
        unused: T,
        make: impl FnOnce(T) -> R,
    ) -> EvaluationResult<ResolutionDetails<R>> {
        let flags = self.flags.snapshot();
        // To make a context of theirs costs more than most evaluations.
        let asked = flags.get(key).is_some_and(|flag| flag.definition().targeting.is_some());
        let context = if asked { context_of(context) } else { Context::new() };
        resolution(flags.details::<T>(key, unused, &context, &now), make)
    }
}

#[async_trait]
impl FeatureProvider for Provider {
    fn status(&self) -> ProviderStatus {
        match self.client.status() {
            Status::Starting { .. } => ProviderStatus::NotReady,
            Status::Ready { .. } => ProviderStatus::Ready,
            Status::Stale { .. } => ProviderStatus::STALE,
            Status::Closed { .. } => ProviderStatus::Error,
        }
    }

    fn metadata(&self) -> &ProviderMetadata {
        &self.metadata
    }

    async fn resolve_bool_value(
        &self,
        flag_key: &str,
        evaluation_context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<bool>> {
        self.resolve(flag_key, evaluation_context, false, |value| value)
    }

    async fn resolve_int_value(
        &self,
        flag_key: &str,
        evaluation_context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<i64>> {
        self.resolve(flag_key, evaluation_context, 0, |value| value)
    }

    async fn resolve_float_value(
        &self,
        flag_key: &str,
        evaluation_context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<f64>> {
        self.resolve(flag_key, evaluation_context, 0.0, |value| value)
    }

    async fn resolve_string_value(
        &self,
        flag_key: &str,
        evaluation_context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<String>> {
        self.resolve(flag_key, evaluation_context, Arc::from(""), |value: Arc<str>| value.to_string())
    }

    async fn resolve_struct_value(
        &self,
        flag_key: &str,
        evaluation_context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<StructValue>> {
        self.resolve(flag_key, evaluation_context, Arc::default(), |value: Arc<Json>| structure(&value))
    }
}

fn resolution<T, R>(
    details: Details<T>,
    make: impl FnOnce(T) -> R,
) -> EvaluationResult<ResolutionDetails<R>> {
    if let Some(error) = details.error {
        let code = match error.code {
            ErrorCode::ProviderNotReady => EvaluationErrorCode::ProviderNotReady,
            ErrorCode::FlagNotFound => EvaluationErrorCode::FlagNotFound,
            ErrorCode::ParseError => EvaluationErrorCode::ParseError,
            ErrorCode::TypeMismatch => EvaluationErrorCode::TypeMismatch,
            ErrorCode::TargetingKeyMissing => EvaluationErrorCode::TargetingKeyMissing,
            ErrorCode::InvalidContext => EvaluationErrorCode::InvalidContext,
            _ => EvaluationErrorCode::General(error.code.as_str().to_owned()),
        };
        return Err(EvaluationError { code, message: Some(error.message) });
    }
    let reason = details.reason.as_str();
    let Some(variant) = details.variant else {
        let message = format!("the flag names no variant ({reason}): use the default of the code");
        return Err(EvaluationError { code: EvaluationErrorCode::FlagNotFound, message: Some(message) });
    };
    Ok(ResolutionDetails {
        value: make(details.value),
        variant: Some(variant.to_string()),
        reason: Some(reason_of(reason)),
        flag_metadata: Some(FlagMetadata {
            values: details.metadata.iter().filter_map(|(name, value)| metadatum(name, value)).collect(),
        }),
    })
}

fn reason_of(word: &str) -> EvaluationReason {
    match word {
        "STATIC" => EvaluationReason::Static,
        "TARGETING_MATCH" => EvaluationReason::TargetingMatch,
        "DEFAULT" => EvaluationReason::Default,
        "DISABLED" => EvaluationReason::Disabled,
        other => EvaluationReason::Other(other.to_owned()),
    }
}

fn metadatum(name: &str, value: &Json) -> Option<(String, FlagMetadataValue)> {
    let value = match value {
        Json::Bool(value) => FlagMetadataValue::Bool(*value),
        Json::String(value) => FlagMetadataValue::String(value.clone()),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => FlagMetadataValue::Int(whole),
            None => FlagMetadataValue::Float(number.as_f64()?),
        },
        _ => return None,
    };
    Some((name.to_owned(), value))
}

fn context_of(theirs: &EvaluationContext) -> Context {
    let mut context = theirs.targeting_key.as_ref().map_or_else(Context::new, Context::of);
    for (name, value) in &theirs.custom_fields {
        // The key has a place of its own, and this one is no way around it.
        if name == "targetingKey" && theirs.targeting_key.is_some() {
            continue;
        }
        match field(value) {
            Some(value) => context.set(name.clone(), value),
            None => tracing::debug!(name, "an attribute of the context is of a type that no rule can read"),
        }
    }
    context
}

/// What rules see of an attribute. A structure is a `serde_json::Value` or a
/// `StructValue`: others have no fields that could be known.
fn field(value: &EvaluationContextFieldValue) -> Option<Json> {
    Some(match value {
        EvaluationContextFieldValue::Bool(value) => Json::from(*value),
        EvaluationContextFieldValue::Int(value) => Json::from(*value),
        EvaluationContextFieldValue::Float(value) => Json::from(*value),
        EvaluationContextFieldValue::String(value) => Json::from(value.as_str()),
        // As RFC 3339 has it, which compares with others of the same offset.
        EvaluationContextFieldValue::DateTime(value) => {
            let (hours, minutes, _) = value.offset().as_hms();
            let sign = if hours < 0 || minutes < 0 { '-' } else { '+' };
            Json::from(format!(
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}{sign}{:02}:{:02}",
                value.year(),
                u8::from(value.month()),
                value.day(),
                value.hour(),
                value.minute(),
                value.second(),
                value.millisecond(),
                hours.unsigned_abs(),
                minutes.unsigned_abs(),
            ))
        }
        EvaluationContextFieldValue::Struct(any) => match any.downcast_ref::<Json>() {
            Some(value) => value.clone(),
            None => fields(any.downcast_ref::<StructValue>()?),
        },
    })
}

fn fields(structure: &StructValue) -> Json {
    structure.fields.iter().map(|(name, value)| (name.clone(), json(value))).collect()
}

fn json(value: &Value) -> Json {
    match value {
        Value::Bool(value) => Json::from(*value),
        Value::Int(value) => Json::from(*value),
        Value::Float(value) => Json::from(*value),
        Value::String(value) => Json::from(value.as_str()),
        Value::Array(items) => items.iter().map(json).collect(),
        Value::Struct(value) => fields(value),
    }
}

/// An object as OpenFeature has it; what is null is not there.
fn structure(value: &Json) -> StructValue {
    let members = value.as_object().into_iter().flatten();
    StructValue { fields: members.filter_map(|(name, value)| Some((name.clone(), theirs(value)?))).collect() }
}

fn theirs(value: &Json) -> Option<Value> {
    Some(match value {
        Json::Null => return None,
        Json::Array(items) => Value::Array(items.iter().filter_map(theirs).collect()),
        Json::Object(_) => Value::Struct(structure(value)),
        Json::Bool(value) => Value::Bool(*value),
        Json::String(value) => Value::String(value.clone()),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number.as_f64()?),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use confhub_flags::{Change, FlagName, FlagSet, HashVersion};
    use serde_json::json;

    #[test]
    fn what_rules_see_of_a_context_is_what_it_says() {
        let inner = StructValue::default().with_field("plan", "pro").with_field("seats", 3);
        let theirs = EvaluationContext::default()
            .with_targeting_key("u")
            .with_custom_field("targetingKey", "other")
            .with_custom_field("age", 33)
            .with_custom_field("score", 1.5)
            .with_custom_field("beta", true)
            .with_custom_field("account", EvaluationContextFieldValue::new_struct(inner))
            .with_custom_field("raw", EvaluationContextFieldValue::new_struct(json!({"a": [1, null]})))
            .with_custom_field("unknown", EvaluationContextFieldValue::new_struct(7_u128));
        let wanted = json!({"targetingKey": "u", "age": 33, "score": 1.5, "beta": true,
            "account": {"plan": "pro", "seats": 3}, "raw": {"a": [1, null]}});
        assert_eq!(context_of(&theirs).to_json(), wanted);
    }

    #[test]
    fn a_flag_without_a_value_is_told_as_flagds_provider_does() {
        let mut flags = FlagSet::new(HashVersion::default());
        let name = FlagName::new("off").unwrap();
        flags.apply([(name.key().as_str(), Change::Value(br#"{"state":"DISABLED","variants":{"a":true}}"#))]);
        let told = resolution(flags.details::<bool>("off", false, &Context::new(), &|| 0), |value| value);
        let error = told.unwrap_err();
        assert_eq!(error.code, EvaluationErrorCode::FlagNotFound);
        assert!(error.message.unwrap().contains("(DISABLED): use the default of the code"));
    }

    #[test]
    fn objects_and_metadata_come_through() {
        let mut flags = FlagSet::new(HashVersion::default());
        let name = FlagName::new("limits").unwrap();
        let text =
            br#"{"state":"ENABLED","variants":{"a":{"max":5,"rate":0.5,"in":{"x":[true,null]},"no":null}},
            "defaultVariant":"a","metadata":{"owner":"ads","level":2}}"#;
        flags.apply([(name.key().as_str(), Change::Value(text))]);
        let details = flags.details::<Arc<Json>>("limits", Arc::default(), &Context::new(), &|| 0);
        let told = resolution(details, |value| structure(&value)).unwrap();
        let inner = StructValue::default().with_field("x", vec![Value::Bool(true)]);
        let wanted =
            StructValue::default().with_field("max", 5).with_field("rate", 0.5).with_field("in", inner);
        assert_eq!(told.value, wanted);
        assert_eq!((told.variant.as_deref(), told.reason), (Some("a"), Some(EvaluationReason::Static)));
        let metadata = FlagMetadata::default().with_value("owner", "ads").with_value("level", 2);
        assert_eq!(told.flag_metadata, Some(metadata));
    }
}
