//! `load storm`, as it is started by hand: small.

use serde_json::Value;
use std::process::Command;

#[test]
fn a_storm_brings_each_client_what_it_lacks_and_encodes_it_once() {
    let args = "storm --clients 40 --keys 20 --cursors 3 --running 10 --rounds 1 --no-pin --json";
    let done = Command::new(env!("CARGO_BIN_EXE_load")).args(args.split(' ')).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stdout));
    let rounds: Vec<Value> = serde_json::from_slice(&done.stdout).unwrap();
    let visits = rounds[0]["visits"].as_array().unwrap();
    let entries: Vec<_> = visits.iter().map(|visit| visit["entries"].as_u64().unwrap()).collect();
    // Of 40 clients 14 lack three changes, 13 two and 13 one.
    assert_eq!(entries, [0, 800, 81, 800, 81, 800]);
    // One of three differences was encoded when the writer looked whether it is there.
    let encodings: Vec<_> = visits[..4].iter().map(|visit| visit["encodings"].as_f64().unwrap()).collect();
    assert_eq!(encodings, [0.0, 1.0, 2.0, 1.0]);
    assert!(visits[0]["bytes"].as_f64().unwrap() < 80.0, "a welcome and a heartbeat: {visits:?}");
    let running = rounds[0]["running"].as_array().unwrap();
    assert!(running.iter().all(|moment| moment["deliveries"].as_u64().unwrap() >= 100), "{running:?}");
}
