//! `load memory`, as it is started by hand: small.

use serde_json::Value;
use std::process::Command;

#[test]
fn what_is_not_read_is_merged_and_arrives_and_the_others_lose_nothing() {
    let args = "memory --connections 10 --added 2 --stalled 2 --seconds 1 --tenants 3 --keys 10 --rounds 1 --no-pin --json";
    let done = Command::new(env!("CARGO_BIN_EXE_load")).args(args.split(' ')).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stdout));
    let rounds: Vec<Value> = serde_json::from_slice(&done.stdout).unwrap();
    for kind in ["window", "socket"] {
        let stalled = &rounds[0][kind];
        assert_eq!((&stalled["lost"], &stalled["others_have_all"]), (&0.into(), &true.into()));
        assert!(stalled["back_kb"].as_f64().unwrap() > 64.0, "it was stalled: {stalled}");
    }
}
