//! `micro`, as it is started by hand: small, and for what it checks rather than for its
//! figures.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

use serde_json::Value;
use std::collections::HashMap;
use std::process::Command;

/// What a run prints as JSON, by the name of the figure, and what it says.
fn micro(args: &str) -> (HashMap<String, Value>, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_micro")).args(args.split(' ')).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    let figures: Vec<Value> = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{said}"));
    let named = |figure: Value| (figure["figure"].as_str().unwrap().to_owned(), figure["value"].clone());
    (figures.into_iter().map(named).collect(), said)
}

#[test]
fn a_client_at_rate_applies_and_counts_every_update() {
    let (figures, said) = micro("rate --rate 1000 --seconds 1 --flat 6000 --keys 200 --rounds 1 --json");
    // Whether the rate was kept is a matter of the machine.
    assert!(said.contains("ok     every update was applied, and counted once"), "{said}");
    let positive = |figure: &Value| figure["median"].as_f64().unwrap() > 0.0;
    assert!(figures.len() == 13 && figures.values().all(positive), "{figures:?}");
}

#[test]
fn every_write_to_any_tenant_of_a_pool_is_accounted_for() {
    let (figures, said) = micro("tenants --tenants 20 --seconds 1 --json");
    assert!(said.contains("ok     each of "), "{said}");
    assert_eq!((&figures["tenants"], &figures["connections"]), (&Value::from(20.0), &Value::from(1.0)));
    assert!(figures["updates applied"].as_f64().unwrap() > 0.0, "{figures:?}");
}
