//! A request's headers -> a token whose signature is good.
//!
//! Read strictly, and before the signature is looked at: what is not exactly
//! three parts of canonical base64url, the first two of them JSON objects with
//! one meaning each, is no token. Nothing that a token brings along is followed.

use super::error::shown;
use super::keys::Keys;
use super::{AuthError, strict};
use crate::limits;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

/// The algorithms that are accepted. All are asymmetric: a hub that can verify
/// a token cannot make one.
const ACCEPTED: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

/// Header members by which a token brings the key that it wants to be verified
/// with (RFC 7515, section 4.1). None is followed. A token that has one is
/// refused though its signature may be good: it asks to be trusted on its own
/// word, and whatever stands behind the hub may be less careful.
const OWN_KEYS: [&str; 4] = ["jwk", "jku", "x5u", "x5c"];

/// Header members that change what the token's parts mean: RFC 7515 `crit`,
/// RFC 7797 `b64`, RFC 7516 `zip`.
const EXTENSIONS: [&str; 3] = ["crit", "b64", "zip"];

/// The bearer token in `headers`.
pub(super) fn bearer(headers: &http::HeaderMap) -> Result<&str, AuthError> {
    let mut all = headers.get_all(http::header::AUTHORIZATION).iter();
    let header = all.next().ok_or(AuthError::Missing)?;
    let more = all.count();
    if more > 0 {
        return Err(AuthError::Repeated(1 + more));
    }
    if header.len() > confhub_proto::limits::TOKEN_BYTES {
        return Err(AuthError::TooLarge { bytes: header.len() });
    }
    let text = header.to_str().map_err(|_| AuthError::NotBearer)?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim_matches(' ')),
        _ => Err(AuthError::NotBearer),
    }
}

/// A token that can be read. Nothing in it is true yet.
pub(super) struct Token<'a> {
    algorithm: Algorithm,
    key_id: String,
    is_access_token: bool,
    claims: Map<String, Value>,
    /// What is signed: the first two parts with their dot.
    signed: &'a str,
    signature: &'a str,
}

/// What a token with a good signature says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Signed {
    /// What it claims.
    pub(super) claims: Map<String, Value>,
    /// Whether its `typ` says that it is an access token (RFC 9068).
    pub(super) is_access_token: bool,
}

impl<'a> Token<'a> {
    /// Reads a token.
    pub(super) fn read(text: &'a str) -> Result<Self, AuthError> {
        let (signed, signature) = text.rsplit_once('.').ok_or(AuthError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(AuthError::Malformed)?;
        // Decoding refuses a further dot, padding, and bits that mean nothing.
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| AuthError::Malformed);
        let header = strict::object(&decode(header)?).ok_or(AuthError::Malformed)?;
        let claims = strict::object(&decode(payload)?).ok_or(AuthError::Malformed)?;
        decode(signature)?;
        let algorithm = algorithm(&header)?;
        let key_id = key_id(&header)?;
        check_extras(&header)?;
        let is_access_token = is_access_token(&header)?;
        Ok(Self { algorithm, key_id, is_access_token, claims, signed, signature })
    }

    /// The name of the key that it says it is signed with.
    pub(super) fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Who it says issued it: good for choosing the keys to check that with, and
    /// for nothing else.
    pub(super) fn unverified_issuer(&self) -> Option<&str> {
        self.claims.get("iss")?.as_str()
    }

    /// Checks the signature, and gives what it claims.
    pub(super) fn verify(self, keys: &Keys) -> Result<Signed, AuthError> {
        let key = keys.get(&self.key_id).ok_or_else(|| AuthError::UnknownKey { kid: shown(&self.key_id) })?;
        // The key decides the algorithm, never the token.
        if self.algorithm != key.algorithm {
            return Err(AuthError::KeyAlgorithm { token: self.algorithm, key: key.algorithm });
        }
        match jsonwebtoken::crypto::verify(self.signature, self.signed.as_bytes(), &key.key, key.algorithm) {
            Ok(true) => Ok(Signed { claims: self.claims, is_access_token: self.is_access_token }),
            Ok(false) | Err(_) => Err(AuthError::Signature),
        }
    }
}

type Header = Map<String, Value>;

fn algorithm(header: &Header) -> Result<Algorithm, AuthError> {
    let name = header.get("alg").and_then(Value::as_str).ok_or(AuthError::Malformed)?;
    let algorithm: Algorithm = name.parse().map_err(|_| AuthError::Malformed)?;
    if ACCEPTED.contains(&algorithm) { Ok(algorithm) } else { Err(AuthError::Algorithm(algorithm)) }
}

fn key_id(header: &Header) -> Result<String, AuthError> {
    match header.get("kid") {
        None => Err(AuthError::NoKeyId),
        Some(Value::String(kid)) if is_key_id(kid) => Ok(kid.clone()),
        Some(_) => Err(AuthError::KeyId),
    }
}

/// Whether a key can have this name.
pub(super) fn is_key_id(kid: &str) -> bool {
    (1..=limits::KEY_ID_BYTES).contains(&kid.len()) && !kid.chars().any(char::is_control)
}

fn check_extras(header: &Header) -> Result<(), AuthError> {
    let find = |all: &[&'static str]| all.iter().copied().find(|name| header.contains_key(*name));
    if let Some(member) = find(&EXTENSIONS) {
        return Err(AuthError::Extension { member });
    }
    find(&OWN_KEYS).map_or(Ok(()), |member| Err(AuthError::OwnKey { member }))
}

/// Whether it is an access token by its `typ`; one that is neither that nor any
/// JSON Web Token at all is something else than who calls: a logout token, say.
fn is_access_token(header: &Header) -> Result<bool, AuthError> {
    let Some(typ) = header.get("typ") else { return Ok(false) };
    let typ = typ.as_str().ok_or(AuthError::Type)?.to_ascii_lowercase();
    match typ.strip_prefix("application/").unwrap_or(&typ) {
        "jwt" => Ok(false),
        "at+jwt" => Ok(true),
        _ => Err(AuthError::Type),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::testing::{SigningKey, encode_part, jwks};
    use serde_json::json;

    fn headers(values: &[&str]) -> http::HeaderMap {
        let mut headers = http::HeaderMap::new();
        for value in values {
            headers.append("authorization", value.parse().unwrap());
        }
        headers
    }

    fn verify(token: &str, keys: &Keys) -> Result<Map<String, Value>, AuthError> {
        Token::read(token)?.verify(keys).map(|signed| signed.claims)
    }

    #[test]
    fn the_header_holds_one_bearer_token_of_a_sane_size() {
        assert_eq!(bearer(&headers(&["Bearer a.b.c"])), Ok("a.b.c"));
        assert_eq!(bearer(&headers(&["bearer  a.b.c "])), Ok("a.b.c"));
        assert_eq!(bearer(&headers(&[])), Err(AuthError::Missing));
        assert_eq!(bearer(&headers(&["Bearer a", "Bearer b"])), Err(AuthError::Repeated(2)));
        for other in ["Basic YTpi", "a.b.c", "", "Bearer"] {
            assert_eq!(bearer(&headers(&[other])), Err(AuthError::NotBearer), "{other}");
        }
        let large = format!("Bearer {}", "x".repeat(confhub_proto::limits::TOKEN_BYTES));
        assert!(matches!(bearer(&headers(&[&large])), Err(AuthError::TooLarge { .. })));
    }

    #[test]
    fn each_of_the_three_algorithms_is_verified() {
        let signers = [SigningKey::rsa("r"), SigningKey::p256("e"), SigningKey::ed25519("d")];
        let keys = Keys::parse(&jwks(&signers)).unwrap();
        for signer in &signers {
            let token = signer.sign(&json!({ "sub": "me" }));
            assert_eq!(Token::read(&token).unwrap().key_id(), signer.kid);
            assert_eq!(verify(&token, &keys).unwrap()["sub"], "me");
            // One changed claim, and the signature is wrong.
            let parts: Vec<_> = token.split('.').collect();
            let forged = [parts[0], &encode_part(&json!({ "sub": "you" })), parts[2]].join(".");
            assert_eq!(verify(&forged, &keys), Err(AuthError::Signature));
        }
    }

    #[test]
    fn a_foreign_key_under_our_name_is_a_wrong_signature() {
        let keys = Keys::parse(&jwks(&[SigningKey::ed25519("k")])).unwrap();
        let token = SigningKey::ed25519("k").sign(&json!({}));
        assert_eq!(verify(&token, &keys), Err(AuthError::Signature));
        let token = SigningKey::p256("k").sign(&json!({}));
        assert!(matches!(verify(&token, &keys), Err(AuthError::KeyAlgorithm { .. })));
        let token = SigningKey::ed25519("other").sign(&json!({}));
        assert_eq!(verify(&token, &keys), Err(AuthError::UnknownKey { kid: "other".to_owned() }));
    }

    #[test]
    fn what_a_header_may_not_say_is_refused_by_its_name() {
        let read = |change: Value| {
            let mut header = json!({ "alg": "EdDSA", "kid": "k" });
            header.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            Token::read(&format!("{}.e30.", encode_part(&header))).map(|token| token.is_access_token)
        };
        for (typ, access) in [
            ("JWT", false),
            ("jwt", false),
            ("application/JWT", false),
            ("at+jwt", true),
            ("Application/AT+JWT", true),
        ] {
            assert_eq!(read(json!({ "typ": typ })), Ok(access), "{typ}");
        }
        for typ in [json!("logout+jwt"), json!(""), json!("JOSE"), json!(7), json!(null)] {
            assert_eq!(read(json!({ "typ": typ })), Err(AuthError::Type), "{typ}");
        }
        for member in OWN_KEYS {
            assert_eq!(read(json!({ member: null })), Err(AuthError::OwnKey { member }));
        }
        for member in EXTENSIONS {
            assert_eq!(read(json!({ member: ["exp"] })), Err(AuthError::Extension { member }));
        }
        for kid in [json!(""), json!(7), json!(["k"]), json!(null), json!("a\u{0}"), json!("k".repeat(257))] {
            assert_eq!(read(json!({ "kid": kid })), Err(AuthError::KeyId), "{kid}");
        }
        for alg in [json!("none"), json!("NONE"), json!(""), json!("eddsa"), json!(["EdDSA"]), json!(null)] {
            assert_eq!(read(json!({ "alg": alg })), Err(AuthError::Malformed), "{alg}");
        }
        assert_eq!(read(json!({ "alg": "HS256" })), Err(AuthError::Algorithm(Algorithm::HS256)));
        assert!(read(json!({ "x5t": "thumbprint", "anything": 1 })).is_ok(), "what changes nothing");
    }

    #[test]
    fn what_is_no_token_is_malformed() {
        let keys = Keys::parse(&jwks(&[SigningKey::ed25519("k")])).unwrap();
        for text in ["", "a", "a.b", "a.b.c", "a.b.c.d", "..", "e30.e30.e30"] {
            assert_eq!(verify(text, &keys), Err(AuthError::Malformed), "{text}");
        }
        let header = encode_part(&json!({ "alg": "EdDSA" }));
        assert_eq!(verify(&format!("{header}.e30.e30"), &keys), Err(AuthError::NoKeyId));
        let header = encode_part(&json!({ "alg": "EdDSA", "kid": "k" }));
        for payload in ["e30=", "e31", "e30 ", " e30", "e3 0", "e30\n", "", "Ww", "e30.e30"] {
            let token = format!("{header}.{payload}.e30");
            assert_eq!(verify(&token, &keys), Err(AuthError::Malformed), "{payload:?}");
        }
    }
}
