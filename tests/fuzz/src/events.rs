//! Event bodies: an event names places and nothing else, each place once, and
//! means the same however its JSON is written and whether or not an envelope is
//! around it.

use confhub::source::event::{BODY_BYTES, Parsed, Places, parse};
use serde_json::{Value, json};

pub fn check(data: &[u8]) {
    let body = String::from_utf8_lossy(data);
    let places = Places { root: "confhub".to_owned() };
    let parsed = match parse(&body, &places) {
        Ok(parsed) => parsed,
        Err(error) => return super::check_error(&error.to_string()),
    };
    check_parsed(&parsed);
    let value: Value = serde_json::from_str(&body).expect("what is no JSON was read");
    let rewritten = value.to_string();
    if rewritten.len() <= BODY_BYTES {
        assert_eq!(parse(&rewritten, &places).as_ref(), Ok(&parsed), "written in another way");
    }
    let envelope = json!({"Type": "Notification", "Message": body}).to_string();
    if value.get("Type").is_none() && envelope.len() <= BODY_BYTES {
        assert_eq!(parse(&envelope, &places).as_ref(), Ok(&parsed), "in an envelope");
    }
}

fn check_parsed(parsed: &Parsed) {
    assert!(parsed.hints.is_sorted_by(|one, next| one.tenant < next.tenant), "one hint a tenant");
    for hint in &parsed.hints {
        assert!(super::is_strict(hint.tenant.as_str(), 64));
        assert!(!hint.addresses.is_empty() && hint.addresses.is_sorted_by(|one, next| one < next));
        for address in &hint.addresses {
            assert!(super::is_strict(address.key.as_str(), 256));
            let service = address.service.as_ref().map_or("x", |service| service.as_str());
            assert!(super::is_strict(service, 64) && service != "shared");
        }
    }
}
