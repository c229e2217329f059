//! Issuers' keys for tests, of each kind, and tokens signed with them. The hub's
//! own unit tests use this file too.

#![allow(dead_code, unreachable_pub, reason = "two crates use this, neither all of it")]

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// A key pair of an issuer.
pub struct SigningKey {
    pub kid: String,
    pub jwk: Value,
    pub algorithm: Algorithm,
    pub key: EncodingKey,
}

impl SigningKey {
    pub fn ed25519(kid: &str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "alg": "EdDSA", "use": "sig" });
        Self {
            kid: kid.to_owned(),
            jwk,
            algorithm: Algorithm::EdDSA,
            key: EncodingKey::from_ed_der(pkcs8.as_ref()),
        }
    }

    pub fn p256(kid: &str) -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let jwk = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid });
        Self {
            kid: kid.to_owned(),
            jwk,
            algorithm: Algorithm::ES256,
            key: EncodingKey::from_ec_der(pkcs8.as_ref()),
        }
    }

    pub fn rsa(kid: &str) -> Self {
        let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let public = pair.public_key();
        let n = URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero());
        let e = URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero());
        let jwk = json!({ "kty": "RSA", "n": n, "e": e, "kid": kid, "alg": "RS256", "use": "sig" });
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
        // What is wanted is the PKCS#1 key inside: PKCS#8 puts 26 bytes in front of it.
        let key = EncodingKey::from_rsa_der(&der.as_ref()[26..]);
        Self { kid: kid.to_owned(), jwk, algorithm: Algorithm::RS256, key }
    }

    /// Signs these two parts, whatever they are, with an algorithm of the key's family.
    pub fn seal(&self, algorithm: Algorithm, header: &[u8], payload: &[u8]) -> String {
        seal(&self.key, algorithm, header, payload)
    }

    /// Signs a token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.kid.clone());
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

/// Signs two parts, whatever they are, with any key.
pub fn seal(key: &EncodingKey, algorithm: Algorithm, header: &[u8], payload: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), key, algorithm).unwrap();
    format!("{signed}.{signature}")
}

/// The key set of an issuer with these keys.
pub fn jwks(keys: &[SigningKey]) -> Vec<u8> {
    let keys: Vec<_> = keys.iter().map(|key| &key.jwk).collect();
    json!({ "keys": keys }).to_string().into_bytes()
}

/// A part of a token, as it travels.
pub fn encode_part(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}
