//! The page about hash versions says what is so.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use confhub_flags::{Change, Context, FlagName, FlagSet, HashVersion};
use std::sync::Arc;

const PAGE: &str = include_str!("../HASHES.md");

/// The flag that the page asks its readers to try.
fn probe() -> &'static str {
    PAGE.split("```json\n").nth(1).unwrap().split("```").next().unwrap()
}

fn variant(hash: HashVersion, user: &str) -> String {
    let mut flags = FlagSet::new(hash);
    let name = FlagName::new("which-hash").unwrap();
    assert_eq!(flags.apply([(name.key().as_str(), Change::Value(probe().as_bytes()))]).bad, []);
    flags.value::<Arc<str>>("which-hash", "none", &Context::of(user), &|| 0).to_string()
}

#[test]
fn the_users_of_the_page_are_placed_as_it_says() {
    let versions = [HashVersion::Cbor, HashVersion::Text, HashVersion::Percent];
    let rows: Vec<Vec<_>> = PAGE
        .lines()
        .filter(|line| line.starts_with("| `user-"))
        .map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`')).collect())
        .collect();
    assert!(rows.len() >= 6, "{rows:?}");
    for row in &rows {
        let is = versions.map(|hash| variant(hash, row[1]));
        assert_eq!(is, [row[2], row[3], row[4]], "{}", row[1]);
    }
    // Any two of them differ for somebody, so that the table tells them apart.
    for (one, other) in [(2, 3), (3, 4), (2, 4)] {
        assert!(rows.iter().any(|row| row[one] != row[other]));
    }
}
