//! Tokens: nobody is let in whom the issuer did not let in, and whoever is let
//! in is exactly who the claims say.
//!
//! The first byte says what the rest is. `c`: claims, which are signed as they
//! are. `h`: a header up to a zero byte and then claims, both signed. `t`: what
//! to change in a good token, a place (two bytes) and a byte each. Anything else:
//! an `authorization` header.

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use confhub::auth::{Authenticator, DEV_ISSUER, DevIssuer, HUB_TENANT, Identity, Role};
use confhub::config::AuthSettings;
use http::{HeaderMap, HeaderValue};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// When it is, in seconds since 1970. The files of the corpus have it in their claims.
const NOW: u64 = 2_000_000_000;

/// An issuer, and a hub that trusts it.
struct Bench {
    pair: Ed25519KeyPair,
    kid: String,
    authenticator: Authenticator,
    leeway: Duration,
    good: String,
    runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

thread_local! {
    static BENCH: Bench = Bench::new();
}

pub fn check(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    BENCH.with(|bench| match kind {
        b'c' => bench.signed(&bench.header(), rest),
        b'h' => {
            let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
            bench.signed(&rest[..end], rest.get(end + 1..).unwrap_or_default());
        }
        b't' => bench.bent(rest),
        _ => bench.unsigned(data),
    });
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let settings = AuthSettings::default();
        let clock: confhub::clock::Clock = Arc::new(now);
        let opened = runtime.block_on(Authenticator::open(&settings, folder.path(), clock));
        let authenticator = opened.unwrap();
        let key = std::fs::read(DevIssuer::path(folder.path())).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(&key).unwrap();
        let jwks = DevIssuer::open(folder.path()).unwrap().jwks();
        let kid = jwks["keys"][0]["kid"].as_str().unwrap().to_owned();
        let leeway = settings.leeway;
        let mut bench =
            Self { pair, kid, authenticator, leeway, good: String::new(), runtime, _folder: folder };
        let claims = format!(
            r#"{{"iss":"confhub-dev","sub":"s","aud":"confhub","token_use":"id","iat":{NOW},"exp":{},"custom:tenantId":"acme"}}"#,
            NOW + 600
        );
        bench.good = bench.sign(&bench.header(), claims.as_bytes());
        assert!(
            bench.ask(format!("Bearer {}", bench.good).as_bytes()).is_some(),
            "the good token is refused"
        );
        bench
    }

    fn header(&self) -> Vec<u8> {
        format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{}"}}"#, self.kid).into_bytes()
    }

    fn sign(&self, header: &[u8], claims: &[u8]) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.pair.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Who is let in with this header. Errors are checked, too.
    fn ask(&self, authorization: &[u8]) -> Option<Identity> {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_bytes(authorization).ok()?);
        match self.runtime.block_on(self.authenticator.authenticate(&headers)) {
            Ok(identity) => Some(identity),
            Err(error) => {
                super::check_error(&error.to_string());
                None
            }
        }
    }

    fn signed(&self, header: &[u8], claims: &[u8]) {
        // The key's name is drawn anew in each run: the files of the corpus say KID.
        let header = String::from_utf8_lossy(header).replace("KID", &self.kid).into_bytes();
        let bearer = format!("Bearer {}", self.sign(&header, claims));
        let Some(identity) = self.ask(bearer.as_bytes()) else { return };
        let header: Value = serde_json::from_slice(&header).expect("a header that is no JSON");
        assert_eq!(header["alg"], "EdDSA", "the key decides the algorithm");
        assert_eq!(header["kid"], *self.kid);
        assert!(header.get("crit").is_none_or(Value::is_null), "nobody understands what is critical");
        let claims: Value = serde_json::from_slice(claims).expect("claims that are no JSON");
        self.check_identity(&identity, &claims);
        // What is remembered is what was read.
        let again = self.ask(bearer.as_bytes()).expect("refused the second time");
        assert_eq!(format!("{again:?}"), format!("{identity:?}"));
    }

    fn check_identity(&self, identity: &Identity, claims: &Value) {
        let seconds = |claim: &str| claims.get(claim).map(|time| time.as_f64().expect("a time is a number"));
        let (seconds_now, leeway) = (NOW as f64, self.leeway.as_secs_f64());
        assert_eq!(claims["iss"], DEV_ISSUER);
        assert!(seconds("exp").expect("an expiry") > seconds_now - leeway);
        assert!(identity.expires + self.leeway > now());
        for claim in ["nbf", "iat"] {
            assert!(seconds(claim).is_none_or(|from| from <= seconds_now + leeway), "{claim} is ahead");
        }
        assert_eq!(claims["custom:tenantId"], *identity.tenant.as_str());
        assert!(super::is_strict(identity.tenant.as_str(), 64) && identity.tenant.as_str() != HUB_TENANT);
        match &identity.service {
            None => assert!(claims.get("custom:service").is_none()),
            Some(service) => {
                assert_eq!(claims["custom:service"], *service.as_str());
                assert!(super::is_strict(service.as_str(), 64) && service.as_str() != "shared");
            }
        }
        assert_eq!(claims["sub"], *identity.subject);
        assert!(!identity.subject.is_empty() && !identity.subject.contains(char::is_control));
        let groups = &claims["cognito:groups"];
        let named = |role: Role| match groups {
            Value::String(text) => text.split_ascii_whitespace().any(|name| name == role.as_str()),
            Value::Array(names) => names.iter().any(|name| name == role.as_str()),
            _ => false,
        };
        for role in identity.roles.iter().filter(|role| *role != Role::Reader) {
            assert!(named(role), "{role} out of {groups}");
        }
    }

    /// Of all that a good token can be changed into, only itself is good.
    fn bent(&self, edits: &[u8]) {
        let mut header = format!("Bearer {}", self.good).into_bytes();
        for edit in edits.chunks_exact(3) {
            let at = usize::from(u16::from_be_bytes([edit[0], edit[1]])) % (header.len() + 1);
            match header.get_mut(at) {
                Some(byte) => *byte = edit[2],
                None => header.push(edit[2]),
            }
        }
        if self.ask(&header).is_some() {
            let text = String::from_utf8(header).unwrap();
            let (scheme, token) = text.split_once(' ').unwrap();
            assert!(scheme.eq_ignore_ascii_case("bearer"));
            assert_eq!(token.trim_matches(' '), self.good, "another token is as good");
        }
    }

    fn unsigned(&self, header: &[u8]) {
        assert!(self.ask(header).is_none(), "nobody has signed this");
    }
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}
