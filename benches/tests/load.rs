//! `load`, as it is started by hand: small, and of what needs no foreign server.

use serde_json::Value;
use std::process::Command;

#[test]
fn a_load_measures_hub_and_floor_and_finds_nothing_lost() {
    let args = "--connections 4 --streams 12 --rounds 1 --seconds 1 --burst 4 --bytes 300 --no-pin --json";
    let done = Command::new(env!("CARGO_BIN_EXE_load")).args(args.split(' ')).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    let rounds: Vec<Value> = serde_json::from_slice(&done.stdout).unwrap();
    let sides: Vec<_> = rounds.iter().map(|round| round["side"].as_str().unwrap()).collect();
    assert_eq!(sides, ["hub", "floor"]);
    for round in &rounds {
        assert!(round["faults"].as_object().unwrap().values().all(|count| *count == 0), "{round}");
        let case = &round["cases"][0];
        let got = case["deliveries"].as_u64().unwrap() + case["superseded"].as_u64().unwrap();
        assert_eq!(got, case["bursts"].as_u64().unwrap() * 4 * 12, "every write reaches every stream");
        let bytes = case["bytes"].as_f64().unwrap();
        // The hub may bring several writes in one frame.
        assert!(bytes < 302.0 && (round["side"] == "hub" || bytes > 298.0), "{bytes}");
        assert!(case["cpu_us"].as_f64().unwrap() > 0.0 && case["p50_ms"].as_f64().unwrap() > 0.0, "{case}");
    }
}

#[test]
fn a_delivery_that_is_too_small_is_refused_with_the_least() {
    let args = "--connections 1 --streams 1 --tenants 1 --rounds 1 --seconds 1 --bytes 60 --no-pin";
    let done = Command::new(env!("CARGO_BIN_EXE_load")).args(args.split(' ')).output().unwrap();
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&done.stderr).contains("180"), "the least is told");
}
