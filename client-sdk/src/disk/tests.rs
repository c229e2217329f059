use super::*;
use crate::test::entry;
use crate::worker::Origin;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use confhub_proto::{Bytes, Content, Entry, Key, State};
use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const LIMIT: usize = 1 << 20;

fn token(claims: &str) -> Token {
    Token::new(&format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))).unwrap()
}

fn good(tenant: &str, service: &str) -> Good {
    let mut state = State::default();
    state.put(entry("tenant_config_limits", 3, r#"{"max":7}"#, Content::JSON));
    state.put(entry("tenant_config_banner", 1, "hello", Content::TEXT));
    let origin = Origin { tenant: tenant.to_owned(), service: service.to_owned() };
    Good { origin, state: Arc::new(state), hub_time: SystemTime::UNIX_EPOCH + Duration::from_secs(9) }
}

fn view() -> View {
    View::new(Some("checkout"), &["tenant_config_".to_owned()], "").unwrap()
}

fn bytes(good: &Good) -> Vec<u8> {
    format::encode(good, &view().service, &view().prefixes)
}

/// Loads as the bearer of a token of the tenant `acme`.
fn load_bytes(bytes: &[u8]) -> Result<Option<Good>, Refused> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    fs::write(&path, bytes).unwrap();
    load(&path, &view(), &token(r#"{"custom:tenantId":"acme"}"#), LIMIT)
}

#[test]
fn what_is_written_is_read() {
    let written = good("acme", "checkout");
    let read = load_bytes(&bytes(&written)).unwrap().unwrap();
    assert_eq!(read.origin, written.origin);
    assert_eq!(read.state.digest(), written.state.digest());
    assert_eq!(read.hub_time, written.hub_time);
    assert_eq!(read.state.get("tenant_config_banner").unwrap().value(), "hello");
    let folder = tempfile::tempdir().unwrap();
    assert!(load(&folder.path().join("none"), &view(), &token("{}"), LIMIT).unwrap().is_none());
}

#[test]
fn every_flipped_byte_and_every_truncation_is_refused() {
    let whole = bytes(&good("acme", "checkout"));
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x20;
        assert!(load_bytes(&damaged).is_err(), "byte {at} flipped");
        assert!(load_bytes(&whole[..at]).is_err(), "cut after {at} bytes");
    }
    let longer = [&whole[..], b"x"].concat();
    assert!(load_bytes(&longer).is_err());
}

#[test]
fn a_valid_checksum_over_nonsense_is_refused_too() {
    for payload in [&b""[..], b"\0", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x01\x0a", b"\0\0"] {
        let mut forged = b"confhub\0\0\0\0\x01".to_vec();
        forged.extend(blake3::hash(payload).as_bytes());
        forged.extend(payload);
        assert!(load_bytes(&forged).is_err(), "{payload:?}");
    }
    let mut later = bytes(&good("acme", "checkout"));
    later[11] = 2;
    assert!(load_bytes(&later).unwrap_err().to_string().contains("version 2"));
}

#[test]
fn a_state_over_the_limit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    fs::write(&path, bytes(&good("acme", "checkout"))).unwrap();
    assert!(load(&path, &view(), &token(r#"{"t":"acme"}"#), 16).is_err());
}

#[test]
fn anothers_state_is_refused() {
    assert!(matches!(load_bytes(&bytes(&good("acme2", "checkout"))), Err(Refused::OtherIdentity)));
    // A token had named another service than the one asked for.
    assert!(matches!(load_bytes(&bytes(&good("acme", "billing"))), Err(Refused::OtherIdentity)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    fs::write(&path, bytes(&good("acme", "billing"))).unwrap();
    let names_both = token(r#"{"custom:tenantId":"acme","custom:service":"billing"}"#);
    assert!(load(&path, &view(), &names_both, LIMIT).unwrap().is_some());
    for other in [View::new(Some("checkout"), &[], ""), View::new(None, &view().prefixes, "")] {
        let refused = load(&path, &other.unwrap(), &names_both, LIMIT);
        assert!(matches!(refused, Err(Refused::OtherView)));
    }
}

#[test]
fn the_file_is_the_owners_alone_and_leftovers_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    fs::write(folder.path().join(".state.abc123.tmp"), "half").unwrap();
    fs::write(folder.path().join("state.tmp"), "not ours").unwrap();
    file::replace(&path, b"one").unwrap();
    file::replace(&path, b"two").unwrap();
    assert_eq!(file::read(&path, LIMIT).unwrap().unwrap(), b"two");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    file::sweep(&path).unwrap();
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["state", "state.tmp"]);
}

#[test]
fn the_value_of_a_secret_is_never_written() {
    let content =
        Content { value: Bytes::from_static(b"hunter2"), content_type: Content::TEXT.into(), secret: true };
    let secret = Entry::new(Key::new("param_config_pw").unwrap(), None, content, 1, SystemTime::UNIX_EPOCH);
    let mut good = good("acme", "checkout");
    let mut state = (*good.state).clone();
    state.put(Arc::new(secret));
    good.state = Arc::new(state);
    let bytes = bytes(&good);
    assert!(!bytes.windows(7).any(|window| window == b"hunter2"));
    let read = load_bytes(&bytes).unwrap().unwrap();
    assert!(read.state.get("param_config_pw").unwrap().is_secret());
}
