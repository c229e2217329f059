//! A request's headers -> a token whose signature is good.

use super::AuthError;
use super::error::shown;
use super::keys::Keys;
use jsonwebtoken::{Algorithm, Header, Validation};
use serde_json::{Map, Value};

/// The algorithms that are accepted. All are asymmetric: a hub that can verify
/// a token cannot make one.
const ACCEPTED: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

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

/// The name of the key that `token` says it is signed with.
pub(super) fn key_id(token: &str) -> Result<String, AuthError> {
    let header = header(token)?;
    header.kid.filter(|kid| !kid.is_empty()).ok_or(AuthError::NoKeyId)
}

/// Checks the signature of `token`, and gives what it claims.
pub(super) fn verify(token: &str, keys: &Keys) -> Result<Map<String, Value>, AuthError> {
    let header = header(token)?;
    let kid = header.kid.unwrap_or_default();
    let key = keys.get(&kid).ok_or_else(|| AuthError::UnknownKey { kid: shown(&kid) })?;
    // The key decides the algorithm, never the token.
    if header.alg != key.algorithm {
        return Err(AuthError::KeyAlgorithm { token: header.alg, key: key.algorithm });
    }
    let mut validation = Validation::new(key.algorithm);
    // Times, issuer and audience are checked in `claims`, by the hub's own clock.
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let decoded = jsonwebtoken::decode(token, &key.key, &validation);
    decoded.map(|data| data.claims).map_err(|error| match error.kind() {
        jsonwebtoken::errors::ErrorKind::InvalidSignature => AuthError::Signature,
        _ => AuthError::Malformed,
    })
}

fn header(token: &str) -> Result<Header, AuthError> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| AuthError::Malformed)?;
    if !ACCEPTED.contains(&header.alg) {
        return Err(AuthError::Algorithm(header.alg));
    }
    if header.crit.is_some() {
        return Err(AuthError::Critical);
    }
    Ok(header)
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
            assert_eq!(key_id(&token).unwrap(), signer.kid);
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
    fn no_signature_and_a_shared_secret_are_refused() {
        let signer = SigningKey::rsa("k");
        let keys = Keys::parse(&jwks(std::slice::from_ref(&signer))).unwrap();
        let claims = encode_part(&json!({ "sub": "me" }));
        for alg in ["none", "None", "NONE", ""] {
            let header = encode_part(&json!({ "alg": alg, "kid": "k" }));
            assert_eq!(verify(&format!("{header}.{claims}."), &keys), Err(AuthError::Malformed), "{alg}");
        }
        // The public key is public: whoever signs with it as a secret signs nothing.
        for secret in [signer.jwk["n"].as_str().unwrap().as_bytes(), &jwks(std::slice::from_ref(&signer))] {
            let mut header = Header::new(Algorithm::HS256);
            header.kid = Some("k".to_owned());
            let key = jsonwebtoken::EncodingKey::from_secret(secret);
            let token = jsonwebtoken::encode(&header, &json!({ "sub": "me" }), &key).unwrap();
            assert_eq!(verify(&token, &keys), Err(AuthError::Algorithm(Algorithm::HS256)));
        }
    }

    #[test]
    fn what_is_no_token_is_malformed() {
        let keys = Keys::parse(&jwks(&[SigningKey::ed25519("k")])).unwrap();
        for text in ["", "a", "a.b", "a.b.c", "a.b.c.d", "..", "e30.e30.e30"] {
            assert_eq!(verify(text, &keys), Err(AuthError::Malformed), "{text}");
        }
        let header = encode_part(&json!({ "alg": "EdDSA", "kid": "k", "crit": ["exp"] }));
        assert_eq!(verify(&format!("{header}.e30.e30"), &keys), Err(AuthError::Critical));
        let header = encode_part(&json!({ "alg": "EdDSA" }));
        assert_eq!(key_id(&format!("{header}.e30.e30")), Err(AuthError::NoKeyId));
    }
}
