//! Random flags and users, such that evaluators which agree about JSONLogic have to
//! agree about them.
//!
//! What is left out is where Python's library differs from JSONLogic's reference: texts
//! that are empty or not there in arithmetic and in `cat`, and which of two texts is the
//! larger.

use fastrand::Rng;
use serde_json::{Map, Value, json};

/// The seed of this run, which is printed: a failure is repeated by setting it.
pub fn seed() -> u64 {
    const SEED: &str = "CONFHUB_TEST_SEED";
    let set = std::env::var(SEED).ok().map(|seed| seed.parse().expect("a seed is a number"));
    let seed = set.unwrap_or_else(|| fastrand::u64(..));
    println!("{SEED}={seed}");
    seed
}

/// How far evaluators of a version go.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// Whether `fractional` takes rules as variants and weights.
    pub nested: bool,
    /// Whether what it tells users apart by may be anything.
    pub any_key: bool,
    /// Whether versions may lack parts, or have a `v` in front.
    pub loose_versions: bool,
    /// Whether texts have characters beyond ASCII.
    pub unicode: bool,
}

const COUNTRIES: [&str; 4] = ["de", "fr", "us", "br"];
const GROUPS: [&str; 4] = ["beta", "staff", "early", "trial"];
const VARIANTS: [&str; 4] = ["a", "b", "c", "d"];

fn one<'a>(random: &mut Rng, choices: &[&'a str]) -> &'a str {
    choices[random.usize(..choices.len())]
}

/// Flags of all types, by name.
pub fn flags(random: &mut Rng, count: usize, dialect: Dialect) -> Vec<(String, &'static str, Value)> {
    let kinds = ["boolean", "string", "integer", "float", "object"];
    let make = |number| {
        let kind = kinds[random.usize(..kinds.len())];
        let value = |at: usize| match kind {
            "boolean" => json!(at == 0),
            "string" => json!(format!("value {at}")),
            "integer" => json!(at),
            "float" => json!(at as f64 + 0.5),
            _ => json!({"at": at}),
        };
        let variants: Map<String, Value> =
            VARIANTS.iter().enumerate().map(|(at, name)| ((*name).to_owned(), value(at))).collect();
        let mut flag =
            json!({"state": "ENABLED", "variants": variants, "targeting": result(random, 3, dialect)});
        match random.u8(..8) {
            0 => {}
            1 => flag["defaultVariant"] = Value::Null,
            _ => flag["defaultVariant"] = json!(one(random, &VARIANTS)),
        }
        if random.u8(..20) == 0 {
            flag["state"] = json!("DISABLED");
        }
        let name = if dialect.unicode { format!("flag-{number}-ü") } else { format!("flag-{number}") };
        (name, kind, flag)
    };
    (0..count).map(make).collect()
}

/// The default of the code for a type.
pub fn default_of(kind: &str) -> Value {
    match kind {
        "boolean" => json!(false),
        "string" => json!("code"),
        "integer" => json!(-1),
        "float" => json!(-1.5),
        _ => json!({"code": true}),
    }
}

pub fn user(random: &mut Rng, dialect: Dialect) -> Value {
    let mut user = Map::new();
    let mut set = |random: &mut Rng, name: &str, value: Value| {
        if random.u8(..8) > 0 {
            user.insert(name.to_owned(), value);
        }
    };
    let key = text(random, dialect);
    set(random, "targetingKey", json!(key));
    let email = format!("{}@{}.example", text(random, dialect), one(random, &COUNTRIES));
    set(random, "email", json!(email));
    let country = one(random, &COUNTRIES);
    set(random, "country", json!(country));
    let age = random.u32(..90);
    set(random, "age", json!(age));
    let score = f64::from(random.u32(..10_000)) / 64.0 + 1.0 / 128.0;
    set(random, "score", json!(score));
    let beta = random.bool();
    set(random, "beta", json!(beta));
    let groups: Vec<_> = (0..random.usize(..3)).map(|_| one(random, &GROUPS)).collect();
    set(random, "groups", json!(groups));
    let version = version(random, dialect);
    set(random, "version", json!(version));
    let name = text(random, dialect);
    let id = random.u64(..1 << 40);
    set(random, "user", json!({"name": name, "id": id}));
    Value::Object(user)
}

/// A text that is not empty.
fn text(random: &mut Rng, dialect: Dialect) -> String {
    let letters = if dialect.unicode {
        &['a', 'z', '0', '-', 'ä', 'я', '語', '🙂'][..]
    } else {
        &['a', 'z', '0', '-', '_', 'Q']
    };
    (0..random.usize(1..24)).map(|_| letters[random.usize(..letters.len())]).collect()
}

fn version(random: &mut Rng, dialect: Dialect) -> String {
    let numbers = format!("{}.{}.{}", random.u8(..4), random.u8(..3), random.u8(..3));
    match random.u8(..8) {
        0 if dialect.loose_versions => format!("v{numbers}"),
        1 => format!("{numbers}-rc.{}", random.u8(..12)),
        2 => format!("{numbers}+build.{}", random.u8(..9)),
        3 if dialect.loose_versions => format!("{}.{}", random.u8(..4), random.u8(..3)),
        4 => "nightly".to_owned(),
        _ => numbers,
    }
}

/// A rule that comes to a variant or null.
fn result(random: &mut Rng, depth: usize, dialect: Dialect) -> Value {
    match random.u8(..if depth == 0 { 3 } else { 9 }) {
        0 if depth < 3 => json!(one(random, &VARIANTS)),
        1 if depth < 3 => Value::Null,
        0..=4 => fractional(random, depth, dialect),
        _ => {
            let mut args = Vec::new();
            for _ in 0..random.usize(1..3) {
                args.push(condition(random, 2));
                args.push(result(random, depth.saturating_sub(1), dialect));
            }
            if random.bool() {
                args.push(result(random, depth.saturating_sub(1), dialect));
            }
            json!({ "if": args })
        }
    }
}

fn fractional(random: &mut Rng, depth: usize, dialect: Dialect) -> Value {
    let mut args = Vec::new();
    match random.u8(..6) {
        0 => args.push(json!({"var": "email"})),
        1 => args.push(json!({"cat": [{"var": "$flagd.flagKey"}, {"var": ["user.name", "nobody"]}]})),
        2 if dialect.any_key => {
            args.push(json!({"var": one(random, &["age", "score", "beta", "user", "user.id"])}))
        }
        _ => {}
    }
    for _ in 0..random.usize(1..5) {
        let variant = if dialect.nested && depth > 0 && random.u8(..6) == 0 {
            json!({"if": [condition(random, 1), one(random, &VARIANTS), one(random, &VARIANTS)]})
        } else {
            json!(one(random, &VARIANTS))
        };
        let weight = match random.u8(..8) {
            0 => None,
            1 if dialect.nested => Some(json!({"+": [{"var": ["age", 5]}, 1]})),
            2 => Some(json!(0)),
            3 => Some(json!(random.u32(..100_000_000))),
            _ => Some(json!(random.u8(1..100))),
        };
        args.push(Value::from_iter([Some(variant), weight].into_iter().flatten()));
    }
    // All weights may be 0, about which older evaluators stumble.
    args.push(json!([one(random, &VARIANTS), 1]));
    json!({ "fractional": args })
}

fn condition(random: &mut Rng, depth: usize) -> Value {
    let country = one(random, &COUNTRIES);
    let number = random.u32(..90);
    let versions = ["1.0.0", "2.1.0", "0.2.2", "3.0.0-rc.3"];
    let relations = ["=", "!=", "<", "<=", ">", ">=", "^", "~"];
    let compare = one(random, &["<", "<=", ">", ">="]);
    match random.u8(..if depth == 0 { 14 } else { 18 }) {
        0 => json!({"==": [{"var": "country"}, country]}),
        1 => json!({"!==": [{"var": "country"}, country]}),
        2 => json!({"in": [{"var": "country"}, [country, "us"]]}),
        3 => json!({"in": [format!("@{country}."), {"var": "email"}]}),
        4 => json!({"ends_with": [{"var": "email"}, format!("{country}.example")]}),
        5 => json!({"starts_with": [{"var": "email"}, "a"]}),
        6 => json!({compare: [{"var": "age"}, number]}),
        7 => json!({"<=": [10, {"var": "age"}, number]}),
        8 => json!({compare: [{"var": "score"}, number]}),
        9 => json!({"sem_ver": [{"var": "version"}, one(random, &relations), one(random, &versions)]}),
        10 => json!({"var": "beta"}),
        11 => json!({"==": [{"%": [{"var": ["age", 1]}, 3]}, 1]}),
        12 => json!({"some": [{"var": ["groups", []]}, {"==": [{"var": ""}, one(random, &GROUPS)]}]}),
        13 => json!({"missing": ["email", "age"]}),
        14 => json!({"and": [condition(random, depth - 1), condition(random, depth - 1)]}),
        15 => json!({"or": [condition(random, depth - 1), condition(random, depth - 1)]}),
        16 => json!({"!": [condition(random, depth - 1)]}),
        _ => json!({">": [{"reduce": [{"var": ["groups", []]}, {"+": [{"var": "accumulator"}, 1]}, 0]}, 1]}),
    }
}
