//! An issuer: a key of one algorithm, its key set, its tokens.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use confhub_benches::Result;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::time::SystemTime;

/// The `iss` of its tokens.
pub(crate) const NAME: &str = "https://issuer.example";

/// Bytes that PKCS#8 puts in front of an RSA key of 2,048 bits.
const RSA_PREFIX: usize = 26;

pub(crate) struct Issuer {
    algorithm: Algorithm,
    key: EncodingKey,
    jwk: Value,
}

impl Issuer {
    /// With a new key.
    pub(crate) fn new(algorithm: Algorithm) -> Result<Self> {
        let random = SystemRandom::new();
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (key, jwk) = match algorithm {
            Algorithm::EdDSA => {
                let der = Ed25519KeyPair::generate_pkcs8v1(&random)?;
                let pair = Ed25519KeyPair::from_pkcs8(der.as_ref())?;
                let x = text(pair.public_key().as_ref());
                (EncodingKey::from_ed_der(der.as_ref()), json!({ "kty": "OKP", "crv": "Ed25519", "x": x }))
            }
            Algorithm::ES256 => {
                let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)?;
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref())?;
                // The first byte says that the point is not compressed.
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                let jwk = json!({ "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y) });
                (EncodingKey::from_ec_der(der.as_ref()), jwk)
            }
            Algorithm::RS256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
                let public = pair.public_key();
                let n = text(public.modulus().big_endian_without_leading_zero());
                let e = text(public.exponent().big_endian_without_leading_zero());
                let der: Pkcs8V1Der<'_> = pair.as_der()?;
                let key = EncodingKey::from_rsa_der(&der.as_ref()[RSA_PREFIX..]);
                (key, json!({ "kty": "RSA", "n": n, "e": e, "alg": "RS256" }))
            }
            other => return Err(format!("{other:?} is not measured").into()),
        };
        let mut jwk = jwk;
        jwk["kid"] = "bench".into();
        Ok(Self { algorithm, key, jwk })
    }

    /// Its key set.
    pub(crate) fn jwks(&self) -> String {
        json!({ "keys": [self.jwk] }).to_string()
    }

    /// A token of this subject, for an hour.
    pub(crate) fn token(&self, subject: &str) -> Result<String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let claims = json!({
            "iss": NAME, "sub": subject, "iat": now, "exp": now + 3_600,
            "custom:tenantId": "acme", "cognito:groups": ["reader"], "token_use": "id",
        });
        let mut header = Header::new(self.algorithm);
        header.kid = Some("bench".to_owned());
        Ok(jsonwebtoken::encode(&header, &claims, &self.key)?)
    }
}
