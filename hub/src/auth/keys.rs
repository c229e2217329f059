//! An issuer's keys: a JSON Web Key Set, read strictly.
//!
//! A key is usable if it has a `kid`, is meant for signatures, and is of one of
//! the three accepted kinds. Others are passed over, since issuers also publish
//! keys for other purposes; a set of such keys alone is an error. A set without any
//! key is none: that issuer has withdrawn them all.

use super::error::shown;
use super::token::is_key_id;
use crate::limits;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use std::collections::HashMap;

/// One key, and the one algorithm that it is for.
#[derive(Debug)]
pub(super) struct VerifyingKey {
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// The usable keys of a set, by `kid`.
#[derive(Debug)]
pub(super) struct Keys {
    by_kid: HashMap<String, VerifyingKey>,
    /// Hash of the text that they were read from: two sets are the same if
    /// their texts are.
    digest: [u8; 32],
    given_up: bool,
}

impl Keys {
    /// Reads a set.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        #[derive(serde::Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let set: Set = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if set.keys.len() > limits::JWKS_KEYS {
            let most = limits::JWKS_KEYS;
            return Err(format!("it has {} keys; at most {most} are allowed", set.keys.len()));
        }
        let mut by_kid = HashMap::new();
        let mut passed_over = Vec::new();
        for (index, value) in set.keys.into_iter().enumerate() {
            match usable(value) {
                Ok((kid, _)) if by_kid.contains_key(&kid) => {
                    passed_over.push(format!("key {index}: `{}` is there twice", shown(&kid)));
                }
                Ok((kid, key)) => drop(by_kid.insert(kid, key)),
                Err(reason) => passed_over.push(format!("key {index}: {reason}")),
            }
        }
        if by_kid.is_empty() && !passed_over.is_empty() {
            return Err(format!("none of its keys can be used ({})", passed_over.join("; ")));
        }
        if !passed_over.is_empty() {
            tracing::debug!(passed_over = passed_over.join("; "), "keys of the issuer that are not used");
        }
        Ok(Self { by_kid, digest: *blake3::hash(text).as_bytes(), given_up: false })
    }

    /// What is left when the issuer's keys could not be read for too long.
    pub(super) fn given_up() -> Self {
        Self { by_kid: HashMap::new(), digest: [0; 32], given_up: true }
    }

    /// Whether these are no keys of the issuer at all.
    pub(super) fn are_given_up(&self) -> bool {
        self.given_up
    }

    /// The key named `kid`.
    pub(super) fn get(&self, kid: &str) -> Option<&VerifyingKey> {
        self.by_kid.get(kid)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_kid.len()
    }

    /// Whether they were read from the same text.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// The same for sets that were read from the same text, and for no others.
    pub(super) fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

fn usable(value: serde_json::Value) -> Result<(String, VerifyingKey), String> {
    let jwk: Jwk = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let kid = jwk.common.key_id.clone().filter(|kid| !kid.is_empty()).ok_or("it has no `kid`")?;
    if !is_key_id(&kid) {
        return Err(format!("its `kid` is longer than {} bytes or holds controls", limits::KEY_ID_BYTES));
    }
    let other_use = jwk.common.public_key_use.as_ref().is_some_and(|r#use| *r#use != PublicKeyUse::Signature);
    let operations = jwk.common.key_operations.as_ref();
    if other_use || operations.is_some_and(|all| !all.contains(&KeyOperations::Verify)) {
        return Err("it is not for signatures".to_owned());
    }
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(key) => {
            let bits = bits(&key.n).ok_or("its `n` is no number")?;
            if !limits::RSA_BITS.contains(&bits) {
                let (min, max) = (limits::RSA_BITS.start(), limits::RSA_BITS.end());
                return Err(format!("it is an RSA key of {bits} bits; accepted are {min} to {max}"));
            }
            Algorithm::RS256
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return Err("it is neither RSA, P-256 nor Ed25519".to_owned()),
    };
    if let Some(stated) = jwk.common.key_algorithm
        && stated != KeyAlgorithm::from(algorithm)
    {
        return Err(format!("it is for {stated}; accepted are RS256, ES256 and EdDSA"));
    }
    let key = DecodingKey::from_jwk(&jwk).map_err(|error| error.to_string())?;
    Ok((kid, VerifyingKey { algorithm, key }))
}

/// How many bits the number has that `text` is in base64url.
fn bits(text: &str) -> Option<usize> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let first = bytes.get(zeros)?;
    Some((bytes.len() - zeros) * 8 - usize::try_from(first.leading_zeros()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::testing::{SigningKey, jwks};

    #[test]
    fn a_set_of_three_kinds_is_read() {
        let keys = [SigningKey::rsa("r"), SigningKey::p256("e"), SigningKey::ed25519("d")];
        let set = Keys::parse(&jwks(&keys)).unwrap();
        assert_eq!(set.len(), 3);
        assert_eq!(set.get("r").unwrap().algorithm, Algorithm::RS256);
        assert_eq!(set.get("e").unwrap().algorithm, Algorithm::ES256);
        assert_eq!(set.get("d").unwrap().algorithm, Algorithm::EdDSA);
    }

    #[test]
    fn unusable_keys_are_passed_over_and_the_first_of_two_wins() {
        let good = SigningKey::ed25519("good");
        let meant_for = |operations: &[&str]| {
            let mut jwk = SigningKey::ed25519("other").jwk;
            jwk["key_ops"] = serde_json::json!(operations);
            jwk
        };
        let text = serde_json::json!({ "keys": [
            { "kty": "oct", "k": "AAAA", "kid": "secret", "alg": "HS256" },
            { "kty": "unheard-of", "kid": "new" },
            meant_for(&["encrypt", "wrapKey"]),
            7,
            good.jwk,
            SigningKey::ed25519("good").jwk,
        ]});
        let set = Keys::parse(text.to_string().as_bytes()).unwrap();
        assert_eq!(set.len(), 1);
        let text = serde_json::json!({ "keys": [meant_for(&["verify"])] }).to_string();
        assert_eq!(Keys::parse(text.as_bytes()).unwrap().len(), 1);
        let first = DecodingKey::from_jwk(&serde_json::from_value(good.jwk).unwrap()).unwrap();
        let kept = &set.get("good").unwrap().key;
        assert_eq!(kept.try_get_as_bytes().unwrap(), first.try_get_as_bytes().unwrap());
    }

    #[test]
    fn a_key_that_says_two_things_is_passed_over() {
        let with = |jwk: &serde_json::Value, member: &str, value: &str| {
            let mut jwk = jwk.clone();
            jwk[member] = value.into();
            serde_json::json!({ "keys": [jwk] }).to_string()
        };
        let (rsa, curve) = (SigningKey::rsa("r").jwk, SigningKey::p256("e").jwk);
        assert!(Keys::parse(with(&curve, "alg", "ES256").as_bytes()).is_ok());
        for text in [
            with(&rsa, "alg", "ES256"),
            with(&rsa, "alg", "PS256"),
            with(&rsa, "alg", "RS512"),
            with(&curve, "alg", "RS256"),
            with(&curve, "alg", "HS256"),
            with(&curve, "crv", "P-384"),
            with(&rsa, "use", "enc"),
            with(&rsa, "use", "other"),
            with(&rsa, "kid", "a\u{0}b"),
            with(&rsa, "kid", &"k".repeat(257)),
        ] {
            let error = Keys::parse(text.as_bytes()).unwrap_err();
            assert!(error.contains("none of its keys can be used"), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_no_set_is_an_error_that_says_why() {
        for (text, part) in [
            ("", "EOF"),
            ("7", "invalid type"),
            (r#"{"keys":[{"kty":"oct","k":"AAAA","kid":"s"}]}"#, "neither RSA"),
            (r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA"}]}"#, "no `kid`"),
            (r#"{"keys":[{"kty":"RSA","n":"AAEB","e":"AQAB","kid":"r"}]}"#, "RSA key of 9 bits"),
        ] {
            let error = Keys::parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        let many = format!(r#"{{"keys":[{}]}}"#, vec!["1"; 65].join(","));
        assert!(Keys::parse(many.as_bytes()).unwrap_err().contains("at most 64"));
    }
}
