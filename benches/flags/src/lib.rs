//! The same flags and users for both evaluators.

pub mod hub;

use confhub_flags::{Change, Context, FlagName, FlagSet, HashVersion};
use open_feature::EvaluationContext;
use open_feature::provider::FeatureProvider as _;
use open_feature_flagd::resolver::in_process::resolver::FileResolver;
use open_feature_flagd::{CacheSettings, CacheType};
use serde_json::{Value, json};
use std::error::Error;
use std::time::Duration;

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How many users are asked for in turn.
pub const USERS: usize = 1_000;

/// The flags, by what they are like.
pub const FLAGS: [&str; 3] = ["boolean", "targeted", "fractional"];

fn definition(flag: &str) -> Value {
    let rule = match flag {
        "targeted" => json!({"if": [{"and": [
            {"==": [{"var": "country"}, "de"]},
            {"ends_with": [{"var": "email"}, "@example.com"]},
            {">": [{"var": "age"}, 18]},
        ]}, "on"]}),
        "fractional" => json!({"fractional": [["on", 5], ["off", 95]]}),
        _ => json!({}),
    };
    json!({"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off", "targeting": rule})
}

/// Ours.
pub fn ours() -> Result<FlagSet> {
    let mut flags = FlagSet::new(HashVersion::Cbor);
    for flag in FLAGS {
        let (name, text) = (FlagName::new(flag)?, definition(flag).to_string());
        let applied = flags.apply([(name.key().as_str(), Change::Value(text.as_bytes()))]);
        if let Some(faults) = applied.bad.first() {
            return Err(faults.to_string().into());
        }
    }
    Ok(flags)
}

/// Theirs, from a file in this folder. Its cache is off where it evaluates what a hub
/// sends, and may be switched on.
pub async fn theirs(folder: &std::path::Path, cached: bool) -> Result<FileResolver> {
    let flags: serde_json::Map<_, _> =
        FLAGS.iter().map(|flag| ((*flag).to_owned(), definition(flag))).collect();
    let file = folder.join("flags.json");
    std::fs::write(&file, json!({ "flags": flags }).to_string())?;
    let cache = cached.then(|| CacheSettings {
        cache_type: CacheType::Lru,
        max_size: 3 * USERS,
        ttl: Some(Duration::from_secs(3_600)),
    });
    Ok(FileResolver::new(file.display().to_string(), cache).await?)
}

/// The users, as each takes them.
pub fn users() -> (Vec<Context>, Vec<EvaluationContext>) {
    let countries = ["de", "fr", "us", "br"];
    let user = |at: usize| {
        let (key, email) = (format!("user-{at}"), format!("user-{at}@example.com"));
        let (country, age) = (countries[at % countries.len()], i64::try_from(at % 90).unwrap_or(0));
        let ours =
            Context::of(key.clone()).with("email", email.clone()).with("country", country).with("age", age);
        let theirs = EvaluationContext::default()
            .with_targeting_key(key)
            .with_custom_field("email", email)
            .with_custom_field("country", country)
            .with_custom_field("age", age);
        (ours, theirs)
    };
    (0..USERS).map(user).unzip()
}

/// Whether both say the same of every flag and user: else there is nothing to compare.
pub async fn agree(ours: &FlagSet, theirs: &FileResolver) -> Result<()> {
    let (our_users, their_users) = users();
    for flag in FLAGS {
        let mut on = 0;
        for (mine, other) in our_users.iter().zip(&their_users) {
            let mine = ours.details::<bool>(flag, false, mine, &|| 0).value;
            let told =
                theirs.resolve_bool_value(flag, other).await.map_err(|error| format!("{error:?}"))?.value;
            if mine != told {
                return Err(format!("`{flag}` is {mine}, and theirs {told}, for {other:?}").into());
            }
            on += usize::from(mine);
        }
        eprintln!("`{flag}`: both say the same of {USERS} users, on for {on}");
    }
    Ok(())
}
