use super::*;
use crate::credentials::Marks;
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

/// A state that was got with a token that names tenant and service.
fn good(tenant: &str, service: &str) -> Good {
    let mut state = State::default();
    state.put(entry("tenant_config_limits", 3, r#"{"max":7}"#, Content::JSON));
    state.put(entry("tenant_config_banner", 1, "hello", Content::TEXT));
    let origin = Origin { tenant: tenant.to_owned(), service: service.to_owned() };
    let token = token(&format!(r#"{{"custom:tenantId":"{tenant}","custom:service":"{service}"}}"#));
    let marks = Arc::new(Marks::of(&token, tenant, service));
    let hub_time = SystemTime::UNIX_EPOCH + Duration::from_secs(9);
    Good { origin, marks, state: Arc::new(state), hub_time }
}

fn view() -> View {
    View::new(Some("checkout"), &["tenant_config_".to_owned()], "", "").unwrap()
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
fn a_state_of_tiny_entries_at_the_limit_is_read_and_one_over_it_is_not() {
    let mut tiny = good("acme", "checkout");
    let all = (0..9_999).map(|number| entry(&format!("k{number}"), u64::MAX, "", "x"));
    tiny.state = Arc::new(all.collect());
    let limit = tiny.state.bytes();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    fs::write(&path, bytes(&tiny)).unwrap();
    let load = |limit| load(&path, &view(), &token(r#"{"custom:tenantId":"acme"}"#), limit);
    assert_eq!(load(limit).unwrap().unwrap().state.len(), 9_999);
    assert!(load(limit - 1).is_err());
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
    let other_issuer = token(r#"{"custom:tenantId":"acme","custom:service":"billing","iss":"x"}"#);
    let other_claim = token(r#"{"custom:tenantId":"acme2","sub":"acme","custom:service":"billing"}"#);
    let other_service = token(r#"{"custom:tenantId":"acme","custom:service":"checkout"}"#);
    for other in [other_issuer, other_claim, other_service] {
        assert!(matches!(load(&path, &view(), &other, LIMIT), Err(Refused::OtherIdentity)));
    }
    for other in [View::new(Some("checkout"), &[], "", ""), View::new(None, &view().prefixes, "", "")] {
        let refused = load(&path, &other.unwrap(), &names_both, LIMIT);
        assert!(matches!(refused, Err(Refused::OtherView)));
    }
}

#[test]
fn the_file_is_the_owners_alone_and_leftovers_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let long_ago = SystemTime::now() - Duration::from_secs(3_600);
    for name in [".state.abc123.tmp", "state.tmp", ".state.b.abc123.tmp", ".state.abc12_.tmp"] {
        let file = fs::File::create(folder.path().join(name)).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    fs::write(folder.path().join(".state.abc456.tmp"), "being written").unwrap();
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
    let left = [".state.abc12_.tmp", ".state.abc456.tmp", ".state.b.abc123.tmp", "state", "state.tmp"];
    assert_eq!(names, left, "only what is ours and abandoned goes");
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
