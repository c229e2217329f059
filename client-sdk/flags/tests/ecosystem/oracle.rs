//! The evaluators of other languages as oracles: random users and flags, of which each
//! says the same as ours, or what it does not agree about.

use crate::packages::{here, node, output, python};
use crate::random::{self, Dialect};
use confhub_flags::{Change, Context, ErrorCode, FlagName, FlagSet, FlagValue, HashVersion};
use fastrand::Rng;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const USERS: usize = 10_000;
const FLAGS: usize = 10;

/// Flags, users, and what ours says of them.
struct Questions {
    folder: tempfile::TempDir,
    flags: Vec<(String, &'static str, Value)>,
    users: Vec<Value>,
}

impl Questions {
    fn new(dialect: Dialect) -> Self {
        let mut random = Rng::with_seed(random::seed());
        let flags = random::flags(&mut random, FLAGS, dialect);
        let users: Vec<_> = (0..USERS).map(|_| random::user(&mut random, dialect)).collect();
        let folder = tempfile::tempdir().unwrap();
        let named: BTreeMap<_, _> = flags.iter().map(|(name, _, flag)| (name, flag)).collect();
        std::fs::write(folder.path().join("flags.json"), json!({ "flags": named }).to_string()).unwrap();
        let asked: Vec<_> =
            flags.iter().map(|(name, kind, _)| json!([name, kind, random::default_of(kind)])).collect();
        let questions = json!({"flags": asked, "users": users});
        std::fs::write(folder.path().join("questions.json"), questions.to_string()).unwrap();
        Self { folder, flags, users }
    }

    /// What an oracle says: for each user, of each flag.
    fn ask(&self, oracle: &mut Command, script: &Path) -> Vec<Vec<Value>> {
        let folder = self.folder.path();
        oracle.arg(script).args([folder.join("flags.json"), folder.join("questions.json")]);
        output(oracle).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Where ours differs from what an oracle says.
    fn differences(&self, hash: HashVersion, told: &[Vec<Value>]) -> Vec<String> {
        assert_eq!(told.len(), USERS);
        let mut ours = FlagSet::new(hash);
        for (name, _, flag) in &self.flags {
            let (name, flag) = (FlagName::new(name).unwrap(), flag.to_string());
            let applied = ours.apply([(name.key().as_str(), Change::Value(flag.as_bytes()))]);
            assert_eq!(applied.bad, []);
        }
        let mut different = Vec::new();
        let mut variants = BTreeMap::new();
        for (user, answers) in self.users.iter().zip(told) {
            let context = Context::from_json(user.clone()).unwrap();
            for ((name, kind, flag), answer) in self.flags.iter().zip(answers) {
                let mine = evaluate(&ours, name, kind, &context);
                *variants.entry(mine[1].to_string()).or_insert(0) += 1;
                if !same(&mine, answer) {
                    different.push(format!("{mine}, not {answer}: {name} {flag} for {user}"));
                }
            }
        }
        println!("{hash:?}: variants by how often they were chosen: {variants:?}");
        different
    }
}

fn evaluate(flags: &FlagSet, name: &str, kind: &str, context: &Context) -> Value {
    let default = random::default_of(kind);
    let now = || 0;
    let details = match kind {
        "boolean" => flags.details(name, false, context, &now).map(FlagValue::Boolean),
        "string" => flags.details::<Arc<str>>(name, "code", context, &now).map(FlagValue::String),
        "integer" => flags.details(name, -1, context, &now).map(FlagValue::Integer),
        "float" => flags.details(name, -1.5, context, &now).map(FlagValue::Float),
        _ => flags.details(name, default, context, &now).map(FlagValue::Object),
    };
    let error = details.error.map(|error| ErrorCode::as_str(error.code));
    json!([details.value.to_json(), details.variant.as_deref(), details.reason.as_str(), error])
}

/// The same, however numbers are written.
fn same(mine: &Value, told: &Value) -> bool {
    let number = |value: &Value| value.as_f64();
    let values = mine[0] == told[0] || number(&mine[0]).is_some() && number(&mine[0]) == number(&told[0]);
    values && (1..4).all(|at| mine[at] == told[at])
}

fn assert_none(different: &[String]) {
    let shown = different.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(different.is_empty(), "{} of {} differ:\n{shown}", different.len(), USERS * FLAGS);
}

fn python_agrees(name: &str, hash: HashVersion, dialect: Dialect) {
    let questions = Questions::new(dialect);
    let told = questions.ask(&mut Command::new(python(name)), &here().join("python/oracle.py"));
    assert_none(&questions.differences(hash, &told));
}

/// All that the newest evaluators understand.
const NEWEST: Dialect = Dialect { nested: true, any_key: true, loose_versions: true, unicode: true };

#[test]
fn pythons_provider_says_the_same_of_10000_random_users_with_cbor() {
    python_agrees("cbor", HashVersion::Cbor, NEWEST);
}

#[test]
fn pythons_provider_before_it_says_the_same_with_text() {
    python_agrees("text", HashVersion::Text, NEWEST);
}

/// It reads neither rules in `fractional` nor versions that are not whole.
#[test]
fn pythons_provider_of_old_says_the_same_with_percent() {
    python_agrees(
        "percent",
        HashVersion::Percent,
        Dialect { nested: false, loose_versions: false, ..NEWEST },
    );
}

/// What it hashes is UTF-16 cut to bytes, so that it agrees with nobody about other texts.
#[test]
fn javascripts_evaluator_says_the_same_with_text_of_users_in_ascii() {
    let questions = Questions::new(Dialect { unicode: false, ..NEWEST });
    let told = questions.ask(&mut node(), &here().join("node/oracle.cjs"));
    assert_none(&questions.differences(HashVersion::Text, &told));
}
