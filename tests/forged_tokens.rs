//! Forged and bent tokens: each is refused by what is wrong with it, none is
//! repeated, and whoever has an honest one notices nothing.

use crate::support::issuer::{claims, now};
use crate::support::signing::{SigningKey, seal};
use crate::support::{Caller, Hub, http_get};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use confhub::auth::HUB_TENANT;
use confhub::config::JwksLocation;
use confhub_proto::wire;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use wire::config_service_client::ConfigServiceClient;

const ISSUER: &str = "https://idp.example/pool";
/// Says that a signature, which must be good for the point of the case, is not.
const SIGNATURE: &str = "signature is wrong";
const NO_TOKEN: &str = "no signed JSON Web Token";

/// The accepted issuer, with all its private keys, and a stranger.
struct Idp {
    rsa: SigningKey,
    curve: SigningKey,
    edwards: SigningKey,
    foreign: SigningKey,
    foreign_rsa: SigningKey,
}

/// What is wrong, what is sent, and what the answer says about it.
type Case = (String, Vec<u8>, &'static str);

fn case(name: &str, token: impl AsRef<[u8]>, answer: &'static str) -> Case {
    (name.to_owned(), [b"Bearer ", token.as_ref()].concat(), answer)
}

fn good() -> Value {
    claims(ISSUER, "acme")
}

fn good_text() -> String {
    good().to_string()
}

fn with(base: &Value, name: &str, value: Value) -> Value {
    let mut changed = base.clone();
    changed[name] = value;
    changed
}

fn without(base: &Value, name: &str) -> Value {
    let mut changed = base.clone();
    changed.as_object_mut().unwrap().remove(name);
    changed
}

fn part(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// A public RSA key of 2,048 bits with the exponent 65,537 as others pass it around:
/// SubjectPublicKeyInfo (RFC 5280, 4.1; RFC 8017, A.1.1).
fn public_der(n: &[u8]) -> Vec<u8> {
    const BEFORE: [u8; 33] = [
        0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01,
        0x05, 0x00, 0x03, 0x82, 0x01, 0x0f, 0x00, 0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00,
    ];
    [&BEFORE, n, &[0x02, 0x03, 0x01, 0x00, 0x01]].concat()
}

/// The same as text (RFC 7468).
fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line)).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

impl Idp {
    fn new() -> Self {
        Self {
            rsa: SigningKey::rsa("rsa"),
            curve: SigningKey::p256("curve"),
            edwards: SigningKey::ed25519("edwards"),
            foreign: SigningKey::ed25519("edwards"),
            foreign_rsa: SigningKey::rsa("rsa"),
        }
    }

    async fn hub(&self) -> Hub {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let file = Hub::key_file(&folder, "keys.json", &[&self.rsa, &self.curve, &self.edwards]);
        Hub::start_on(folder, |settings| {
            settings.auth.issuer = Some(ISSUER.to_owned());
            settings.auth.jwks = Some(JwksLocation::File(file));
            settings.auth.audience = vec!["confhub".to_owned()];
        })
        .await
    }

    /// Signed well, whatever it says.
    fn says(&self, claims: &Value) -> String {
        self.edwards.sign(claims)
    }

    /// Signed well, with good claims and any header.
    fn headed(&self, header: &Value) -> String {
        self.edwards.seal(Algorithm::EdDSA, header.to_string().as_bytes(), good_text().as_bytes())
    }

    /// Signed well, with a good header and any payload.
    fn carries(&self, payload: impl AsRef<[u8]>) -> String {
        let header = json!({ "alg": "EdDSA", "kid": "edwards" }).to_string();
        self.edwards.seal(Algorithm::EdDSA, header.as_bytes(), payload.as_ref())
    }

    fn algorithms(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        let payload = part(good_text());
        for alg in ["none", "None", "nOnE", "NONE", ""] {
            let header = part(json!({ "alg": alg, "kid": "rsa" }).to_string());
            cases.push(case(&format!("alg {alg:?}"), format!("{header}.{payload}."), NO_TOKEN));
            cases.push(case(&format!("alg {alg:?}, filled"), format!("{header}.{payload}.AAAA"), NO_TOKEN));
        }
        let n = self.rsa.jwk["n"].as_str().unwrap();
        let jwk = self.rsa.jwk.to_string();
        let der = public_der(&URL_SAFE_NO_PAD.decode(n).unwrap());
        let pem = pem(&der);
        for (alg, algorithm) in
            [("HS256", Algorithm::HS256), ("HS384", Algorithm::HS384), ("HS512", Algorithm::HS512)]
        {
            for (what, secret) in
                [("n", n.as_bytes()), ("JWK", jwk.as_bytes()), ("DER", &der), ("PEM", pem.as_bytes())]
            {
                let header = json!({ "alg": alg, "kid": "rsa" }).to_string();
                let key = EncodingKey::from_secret(secret);
                let token = seal(&key, algorithm, header.as_bytes(), good_text().as_bytes());
                cases.push(case(&format!("{alg} with the public {what}"), token, "accepted are RS256"));
            }
        }
        for (alg, algorithm) in [
            ("RS384", Algorithm::RS384),
            ("RS512", Algorithm::RS512),
            ("PS256", Algorithm::PS256),
            ("PS512", Algorithm::PS512),
        ] {
            let header = json!({ "alg": alg, "kid": "rsa" }).to_string();
            let token = self.rsa.seal(algorithm, header.as_bytes(), good_text().as_bytes());
            cases.push(case(alg, token, "accepted are RS256"));
        }
        let wide = &ECDSA_P384_SHA384_FIXED_SIGNING;
        let wide = EcdsaKeyPair::generate_pkcs8(wide, &SystemRandom::new()).unwrap();
        let wide = EncodingKey::from_ec_der(wide.as_ref());
        for (alg, answer) in [("ES384", "accepted are RS256"), ("ES256", SIGNATURE)] {
            let header = json!({ "alg": alg, "kid": "curve" }).to_string();
            let token = seal(&wide, Algorithm::ES384, header.as_bytes(), good_text().as_bytes());
            cases.push(case(&format!("{alg} of a P-384 key"), token, answer));
        }
        for alg in [json!("eddsa"), json!("ES256K"), json!(["EdDSA"]), json!(null), json!({ "EdDSA": 1 })] {
            cases.push(case(
                &format!("alg {alg}"),
                self.headed(&json!({ "alg": alg, "kid": "edwards" })),
                NO_TOKEN,
            ));
        }
        cases.push(case("no alg", self.headed(&json!({ "kid": "edwards" })), NO_TOKEN));
        let swapped = self.headed(&json!({ "alg": "EdDSA", "kid": "curve" }));
        cases.push(case("one key's name over another's signature", swapped, "its key is for ES256"));
        cases
    }

    fn keys(&self) -> Vec<Case> {
        let mut cases = vec![
            case("a stranger's key under our kid", self.foreign.sign(&good()), SIGNATURE),
            case("a stranger's RSA key under our kid", self.foreign_rsa.sign(&good()), SIGNATURE),
            case("no kid", self.headed(&json!({ "alg": "EdDSA" })), "no `kid`"),
        ];
        for kid in
            ["../../../../dev/null", "' OR 1=1 --", "EDWARDS", "edwards ", "http://127.0.0.1/keys", "еdwards"]
        {
            let token = self.headed(&json!({ "alg": "EdDSA", "kid": kid }));
            cases.push(case(&format!("kid {kid:?}"), token, "its issuer does not have"));
        }
        let long = "k".repeat(3_000);
        for kid in [json!(""), json!("edwards\u{0}"), json!(7), json!(["edwards"]), json!(null), json!(long)]
        {
            let token = self.headed(&json!({ "alg": "EdDSA", "kid": kid }));
            let shown: String = kid.to_string().chars().take(20).collect();
            cases.push(case(&format!("kid {shown}"), token, "the `kid`"));
        }
        let own = [
            ("jwk", self.foreign.jwk.clone()),
            ("jku", json!("https://evil.example/keys")),
            ("x5u", json!("https://evil.example/chain")),
            ("x5c", json!(["MIIB"])),
        ];
        for (member, value) in own {
            let header = json!({ "alg": "EdDSA", "kid": "edwards", member: value });
            cases.push(case(
                &format!("our signature and `{member}`"),
                self.headed(&header),
                "must not bring its own",
            ));
            let token =
                self.foreign.seal(Algorithm::EdDSA, header.to_string().as_bytes(), good_text().as_bytes());
            cases.push(case(&format!("`{member}` of a stranger"), token, "must not bring its own"));
        }
        cases
    }

    fn headers(&self) -> Vec<Case> {
        let header = json!({ "alg": "EdDSA", "kid": "edwards" });
        let mut cases = Vec::new();
        for (member, value) in
            [("crit", json!(["exp"])), ("crit", json!([])), ("b64", json!(false)), ("zip", json!("DEF"))]
        {
            let token = self.headed(&with(&header, member, value));
            cases.push(case(&format!("`{member}`"), token, "sign without extensions"));
        }
        for typ in [json!("logout+jwt"), json!("dpop+jwt"), json!("JWE"), json!(""), json!(1), json!(null)] {
            cases.push(case(&format!("typ {typ}"), self.headed(&with(&header, "typ", typ)), "`typ`"));
        }
        for (name, text) in [
            ("a header twice the kid", r#"{"alg":"EdDSA","kid":"x","kid":"edwards"}"#),
            ("a header twice the alg", r#"{"alg":"none","alg":"EdDSA","kid":"edwards"}"#),
            ("a header that is an array", r#"["EdDSA","edwards"]"#),
            ("a header that is a string", r#""EdDSA""#),
            ("a header with more behind it", r#"{"alg":"EdDSA","kid":"edwards"}{}"#),
            ("a header with a byte order mark", "\u{feff}{\"alg\":\"EdDSA\",\"kid\":\"edwards\"}"),
            ("an empty header", ""),
        ] {
            let token = self.edwards.seal(Algorithm::EdDSA, text.as_bytes(), good_text().as_bytes());
            cases.push(case(name, token, NO_TOKEN));
        }
        cases
    }

    fn shapes(&self) -> Vec<Case> {
        let token = self.says(&good());
        let parts: Vec<_> = token.split('.').collect();
        let [head, body, seal] = parts[..] else { panic!("a token has three parts") };
        // 64 bytes are 86 characters, the last of which has four bits to spare.
        let last = seal.chars().last().unwrap();
        let spare = format!("{}{}", &seal[..seal.len() - 1], char::from_u32(u32::from(last) + 1).unwrap());
        let deep = format!(r#"{{"iss":"{ISSUER}","x":{}{}}}"#, "[".repeat(2_500), "]".repeat(2_500));
        let unsigned = part(with(&good(), "custom:tenantId", json!("globex")).to_string());
        let mut cases = vec![
            case("one part", head, NO_TOKEN),
            case("two parts", format!("{head}.{body}"), NO_TOKEN),
            case("four parts", format!("{token}.{seal}"), NO_TOKEN),
            case("five parts", format!("{head}.{body}.{body}.{body}.{seal}"), NO_TOKEN),
            case("a dot before", format!(".{token}"), NO_TOKEN),
            case("a dot behind", format!("{token}."), NO_TOKEN),
            case("no signature", format!("{head}.{body}."), SIGNATURE),
            case("padding", format!("{token}=="), NO_TOKEN),
            case("a space within", format!("{head}. {body}.{seal}"), NO_TOKEN),
            case("a tab behind", format!("{token}\tx"), NO_TOKEN),
            case("spare bits", format!("{head}.{body}.{spare}"), NO_TOKEN),
            case("standard base64", format!("{head}.{body}.+/{}", &seal[2..]), NO_TOKEN),
            case("half a signature", format!("{head}.{body}.{}", &seal[..44]), SIGNATURE),
            case("another's payload", format!("{head}.{unsigned}.{seal}"), SIGNATURE),
            case("a payload that is gzip", self.carries([0x1f, 0x8b, 8, 0, 0, 0]), NO_TOKEN),
            case("a payload that is not UTF-8", self.carries(b"{\"iss\":\"\xff\xfe\"}"), NO_TOKEN),
            case("a payload with a byte order mark", self.carries(format!("\u{feff}{}", good())), NO_TOKEN),
            case("a payload that is an array", self.carries(format!("[{}]", good())), NO_TOKEN),
            case("a payload that is a string", self.carries(Value::from(good_text()).to_string()), NO_TOKEN),
            case("a payload that is null", self.carries("null"), NO_TOKEN),
            case("an empty payload", self.carries(""), NO_TOKEN),
            case("a payload with more behind it", self.carries(format!("{}{}", good(), good())), NO_TOKEN),
            case("a deep payload", self.carries(deep), NO_TOKEN),
            case("a huge payload", self.says(&with(&good(), "x", json!("x".repeat(7_000)))), "at most"),
            case("nothing", "", NO_TOKEN),
        ];
        let mut flipped = URL_SAFE_NO_PAD.decode(seal).unwrap();
        flipped[7] ^= 1;
        cases.push(case("a flipped bit", format!("{head}.{body}.{}", part(flipped)), SIGNATURE));
        cases.extend(self.signatures());
        cases
    }

    /// Signatures that careless verifiers take.
    fn signatures(&self) -> Vec<Case> {
        let token = self.curve.sign(&good());
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let (r, s) = raw.split_at(32);
        // A DER integer: no zeros in front, save one that keeps it from being negative.
        let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
        let number = |part: &[u8]| {
            let digits: Vec<_> = part.iter().copied().skip_while(|byte| *byte == 0).collect();
            let sign: &[u8] = if digits[0] >= 0x80 { &[0] } else { &[] };
            let number = [sign, &digits].concat();
            [&[2, length(&number)], &number[..]].concat()
        };
        let both = [number(r), number(s)].concat();
        let der = [&[0x30, length(&both)], &both[..]].concat();
        let rsa = self.rsa.sign(&good());
        let (rsa_signed, rsa_signature) = rsa.rsplit_once('.').unwrap();
        let rsa_raw = URL_SAFE_NO_PAD.decode(rsa_signature).unwrap();
        vec![
            case("ECDSA of zeros", format!("{signed}.{}", part([0; 64])), SIGNATURE),
            case("ECDSA of no r", format!("{signed}.{}", part([&[0; 32], s].concat())), SIGNATURE),
            case("ECDSA of no s", format!("{signed}.{}", part([r, &[0; 32]].concat())), SIGNATURE),
            case("ECDSA of the largest numbers", format!("{signed}.{}", part([0xff; 64])), SIGNATURE),
            case("ECDSA in DER", format!("{signed}.{}", part(der)), SIGNATURE),
            case(
                "ECDSA with more behind it",
                format!("{signed}.{}", part([&raw[..], &[0]].concat())),
                SIGNATURE,
            ),
            case(
                "RSA with a zero before it",
                format!("{rsa_signed}.{}", part([&[0], &rsa_raw[..]].concat())),
                SIGNATURE,
            ),
            case("RSA of zeros", format!("{rsa_signed}.{}", part([0; 256])), SIGNATURE),
            case("RSA of one", format!("{rsa_signed}.{}", part([&[0; 255][..], &[1]].concat())), SIGNATURE),
            case(
                "Ed25519 of zeros",
                {
                    let token = self.says(&good());
                    format!("{}.{}", token.rsplit_once('.').unwrap().0, part([0; 64]))
                },
                SIGNATURE,
            ),
        ]
    }

    fn claims(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        let text = good_text();
        let inner = text.trim_start_matches('{');
        for (name, first) in [
            ("the tenant twice", r#""custom:tenantId":"globex""#),
            ("the tenant twice, once in escapes", r#""custom:tenant\u0049d":"globex""#),
            ("the tenant twice and alike", r#""custom:tenantId":"acme""#),
            ("exp twice", r#""exp":9999999999"#),
            ("a member twice, deep within", r#""x":{"y":[{"z":1,"z":2}]}"#),
        ] {
            cases.push(case(name, self.carries(format!("{{{first},{inner}")), NO_TOKEN));
        }
        for issuer in [
            json!("https://evil.example"),
            json!(format!("{ISSUER}/")),
            json!("HTTPS://idp.example/pool"),
            json!([ISSUER]),
            json!(null),
            json!(""),
            json!("confhub-dev"),
        ] {
            let token = self.says(&with(&good(), "iss", issuer.clone()));
            cases.push(case(&format!("iss {issuer}"), token, "`iss`"));
        }
        cases.push(case("no iss", self.says(&without(&good(), "iss")), "`iss`"));
        for audience in [
            json!("other"),
            json!([]),
            json!(["other"]),
            json!(7),
            json!(null),
            json!({ "confhub": 1 }),
            json!("CONFHUB"),
        ] {
            let token = self.says(&with(&good(), "aud", audience.clone()));
            cases.push(case(&format!("aud {audience}"), token, "`aud`"));
        }
        for token_use in [json!("refresh"), json!("ID"), json!(["id"]), json!(null)] {
            let token = self.says(&with(&good(), "token_use", token_use.clone()));
            cases.push(case(&format!("token_use {token_use}"), token, "`token_use`"));
        }
        let access = self.says(&with(&good(), "token_use", json!("access")));
        cases.push(case("an access token without client_id", access, "`client_id`"));
        for subject in [json!(""), json!("a\nb"), json!(7), json!("s".repeat(257))] {
            cases.push(case("sub", self.says(&with(&good(), "sub", subject)), "`sub`"));
        }
        for service in [json!(""), json!("../x"), json!(["orders"]), json!(null), json!("a#b")] {
            let token = self.says(&with(&good(), "custom:service", service.clone()));
            cases.push(case(&format!("service {service}"), token, "`custom:service`"));
        }
        for roles in [json!({ "writer": true }), json!(7), json!(["writer", 7]), json!([["writer"]])] {
            let token = self.says(&with(&good(), "cognito:groups", roles.clone()));
            cases.push(case(&format!("roles {roles}"), token, "`cognito:groups`"));
        }
        cases
    }

    fn tenants(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for tenant in [
            json!(["acme"]),
            json!({ "id": "acme" }),
            json!(7),
            json!(true),
            json!(null),
            json!(""),
            json!("a#b"),
            json!("a|b"),
            json!("a/b"),
            json!(".."),
            json!("../acme"),
            json!("acme\u{0}"),
            json!(" acme"),
            json!("acme "),
            json!("acme\n"),
            json!("а\u{441}me"),
            json!("ａcme"),
            json!("ac\u{200d}me"),
            json!("\u{202e}emca"),
            json!("acme\u{301}"),
            json!("acme*"),
            json!("%61cme"),
            json!("a".repeat(65)),
            json!("a".repeat(4_000)),
            json!(HUB_TENANT),
        ] {
            let token = self.says(&with(&good(), "custom:tenantId", tenant.clone()));
            let shown: String = tenant.to_string().chars().take(20).collect();
            cases.push(case(&format!("tenant {shown:?}"), token, "`custom:tenantId`"));
        }
        for other in [
            "Custom:tenantId",
            "custom:tenantid",
            "custom:TenantId",
            "tenantId",
            "custom:tenantId ",
            "сustom:tenantId",
        ] {
            let token = self.says(&with(&without(&good(), "custom:tenantId"), other, json!("acme")));
            cases.push(case(&format!("the tenant as {other}"), token, "`custom:tenantId` is missing"));
        }
        cases
    }

    fn times(&self) -> Vec<Case> {
        let mut cases = vec![
            case("expired", self.says(&with(&good(), "exp", json!(now() - 3_600))), "expired"),
            case("expired in 1970", self.says(&with(&good(), "exp", json!(0))), "expired"),
            case("no exp", self.says(&without(&good(), "exp")), "`exp` is missing"),
            case("exp in milliseconds", self.says(&with(&good(), "exp", json!(now() * 1_000))), "10 years"),
            case(
                "exp in a hundred years",
                self.says(&with(&good(), "exp", json!(now() + 3_155_760_000))),
                "10 years",
            ),
            case("nbf to come", self.says(&with(&good(), "nbf", json!(now() + 3_600))), "`nbf` is"),
            case("iat to come", self.says(&with(&good(), "iat", json!(now() + 3_600))), "`iat` is"),
        ];
        let later = (now() + 3_600).to_string();
        for time in [
            json!(later),
            json!(-1),
            json!(1e300),
            json!(true),
            json!(null),
            json!([now() + 60]),
            json!(u64::MAX),
        ] {
            for claim in ["exp", "nbf", "iat"] {
                let token = self.says(&with(&good(), claim, time.clone()));
                let answer =
                    ["`exp`", "`nbf`", "`iat`"].into_iter().find(|text| text.contains(claim)).unwrap();
                cases.push(case(&format!("{claim} {time}"), token, answer));
            }
        }
        let rest: Map<_, _> = without(&good(), "exp").as_object().unwrap().clone();
        let rest = Value::from(rest).to_string();
        for number in ["1e400", "NaN", "Infinity", "0x7fffffff", "+9999999999", "09999999999"] {
            let text = format!("{{\"exp\":{number},{}", rest.trim_start_matches('{'));
            cases.push(case(&format!("exp {number}"), self.carries(text), NO_TOKEN));
        }
        cases
    }

    /// What is sent in the place of a bearer token.
    fn other_headers(&self) -> Vec<Case> {
        let token = self.says(&good());
        let raw = |name: &str, text: String| (name.to_owned(), text.into_bytes(), "bearer");
        vec![
            raw("Basic", format!("Basic {}", STANDARD.encode(format!("acme:{token}")))),
            raw("Basic with a token", format!("Basic {token}")),
            raw("the token alone", token.clone()),
            raw("Bearer alone", "Bearer".to_owned()),
            raw("Bearer and a colon", format!("Bearer: {token}")),
            raw("a tab between", format!("Bearer\t{token}")),
            case("Bearer twice", format!("Bearer {token}"), NO_TOKEN),
            case("two tokens with a comma", format!("{token},{token}"), NO_TOKEN),
            case("two tokens with a space", format!("{token} {token}"), NO_TOKEN),
            case("a token in quotes", format!("\"{token}\""), NO_TOKEN),
            case("bytes that are no ASCII", [token.as_bytes(), b"\xc3\xa9"].concat(), "bearer"),
        ]
    }

    fn all(&self) -> Vec<Case> {
        [
            self.algorithms(),
            self.keys(),
            self.headers(),
            self.shapes(),
            self.claims(),
            self.tenants(),
            self.times(),
            self.other_headers(),
        ]
        .concat()
    }

    /// What is odd, and is right.
    fn honest(&self) -> Vec<(&'static str, String)> {
        let header = json!({ "alg": "EdDSA", "kid": "edwards" });
        vec![
            ("RS256", self.rsa.sign(&good())),
            ("ES256", self.curve.sign(&good())),
            ("EdDSA", self.says(&good())),
            ("no typ", self.headed(&header)),
            ("an access token by its typ", self.headed(&with(&header, "typ", json!("at+jwt")))),
            ("the typ in full", self.headed(&with(&header, "typ", json!("application/at+jwt")))),
            ("a thumbprint in the header", self.headed(&with(&header, "x5t", json!("AAAA")))),
            ("spaces in the payload", self.carries(format!(" {} ", good()))),
            ("an audience among others", self.says(&with(&good(), "aud", json!(["x", "confhub"])))),
            ("a client_id", {
                let access =
                    with(&with(&good(), "token_use", json!("access")), "client_id", json!("confhub"));
                self.says(&without(&access, "aud"))
            }),
            (
                "a fraction of a second",
                self.carries(
                    good_text()
                        .replace("\"exp\":", "\"exp\":0.5e0,\"_\":")
                        .replace("\"exp\":0.5e0", &format!("\"exp\":{}.5", now() + 60)),
                ),
            ),
            ("expired within the leeway", self.says(&with(&good(), "exp", json!(now() - 5)))),
            ("nine years", self.says(&with(&good(), "exp", json!(now() + 9 * 31_536_000)))),
            ("no roles", self.says(&without(&good(), "cognito:groups"))),
            ("a longest tenant", self.says(&with(&good(), "custom:tenantId", json!("a".repeat(64))))),
            ("members deep within", self.says(&with(&good(), "x", json!({ "y": [[[{ "z": [1] }]]] })))),
        ]
    }
}

/// Calls both ways, unary and streaming; both are refused alike.
async fn refusal(client: &ConfigServiceClient<Channel>, change: impl Fn(&mut MetadataMap)) -> Status {
    let mut client = client.clone();
    let mut unary = Request::new(wire::GetRequest { key: "tenant_config_a".into(), service: String::new() });
    change(unary.metadata_mut());
    let unary = client.get(unary).await.unwrap_err();
    let mut streaming = Request::new(wire::SubscribeRequest::default());
    change(streaming.metadata_mut());
    let streaming = client.subscribe(streaming).await.unwrap_err();
    assert_eq!((unary.code(), unary.message()), (streaming.code(), streaming.message()));
    unary
}

async fn connect(hub: &Hub) -> ConfigServiceClient<Channel> {
    let channel = Endpoint::from_shared(hub.endpoint()).unwrap().connect().await.unwrap();
    ConfigServiceClient::new(channel)
}

async fn assert_served(hub: &Hub, name: &str, token: &str) {
    let answer = Caller::connect(&hub.endpoint(), token).await.get("", "tenant_config_nothing").await;
    assert_eq!(answer.unwrap_err().code(), Code::NotFound, "{name}: it gets past who it is");
}

#[tokio::test]
async fn every_forged_token_is_refused_by_what_is_wrong_with_it_and_never_repeated() {
    let idp = Idp::new();
    let hub = idp.hub().await;
    let client = connect(&hub).await;
    let cases = idp.all();
    assert!(cases.len() >= 80, "{}", cases.len());
    for (name, authorization, answer) in &cases {
        let value = MetadataValue::<Ascii>::try_from(authorization.as_slice())
            .unwrap_or_else(|error| panic!("{name} cannot be sent: {error}"));
        let status = refusal(&client, |metadata| drop(metadata.insert("authorization", value.clone()))).await;
        assert_eq!(status.code(), Code::Unauthenticated, "{name}: {status}");
        assert!(status.message().contains(answer), "{name}: {status}");
        let text = String::from_utf8_lossy(authorization);
        for part in text.split(['.', ' ']).filter(|part| part.len() > 12) {
            assert!(!status.message().contains(part), "{name} is repeated: {status}");
        }
    }
    let refused = hub.metrics("confhub_refusals_total", &[]).await;
    assert_eq!(refused, 2.0 * cases.len() as f64, "each is counted");
    assert_eq!(http_get(hub.addresses.http, "/readyz").await.unwrap().0, 200);
    assert_served(&hub, "an honest token", &idp.says(&good())).await;
}

#[tokio::test]
async fn their_honest_twins_are_served() {
    let idp = Idp::new();
    let hub = idp.hub().await;
    for (name, token) in idp.honest() {
        // Twice: the second time it is remembered.
        assert_served(&hub, name, &token).await;
        assert_served(&hub, name, &token).await;
    }
    assert_eq!(hub.metrics("confhub_refusals_total", &[]).await, 0.0);
}

#[tokio::test]
async fn a_remembered_token_lends_nothing_to_one_that_is_nearly_the_same() {
    let idp = Idp::new();
    let hub = idp.hub().await;
    let client = connect(&hub).await;
    let token = idp.says(&good());
    assert_served(&hub, "an honest token", &token).await;
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut bent = URL_SAFE_NO_PAD.decode(signature).unwrap();
    bent[63] ^= 0x10;
    for other in [format!("{signed}.{}", part(bent)), format!("{token}="), format!("{token}.")] {
        let value: MetadataValue<Ascii> = format!("Bearer {other}").parse().unwrap();
        let status = refusal(&client, |metadata| drop(metadata.insert("authorization", value.clone()))).await;
        assert_eq!(status.code(), Code::Unauthenticated);
    }
}

#[tokio::test]
async fn a_token_anywhere_but_in_the_one_header_is_no_token() {
    let idp = Idp::new();
    let hub = idp.hub().await;
    let client = connect(&hub).await;
    let bearer = format!("Bearer {}", idp.says(&good()));
    let value: MetadataValue<Ascii> = bearer.parse().unwrap();
    let twice = refusal(&client, |metadata| {
        metadata.append("authorization", value.clone());
        metadata.append("authorization", value.clone());
    });
    assert!(twice.await.message().contains("2 `authorization` headers"));
    let binary = MetadataValue::from_bytes(bearer.as_bytes());
    let status =
        refusal(&client, |metadata| drop(metadata.insert_bin("authorization-bin", binary.clone()))).await;
    assert!(status.message().contains("no token"), "{status}");
    for name in ["proxy-authorization", "x-authorization", "cookie", "access_token", "x-tenant"] {
        let status = refusal(&client, |metadata| drop(metadata.insert(name, value.clone()))).await;
        assert_eq!(status.code(), Code::Unauthenticated, "{name}");
        assert!(status.message().contains("no token"), "{name}: {status}");
    }
    let path = format!("/confhub.v1.ConfigService/Get?access_token={}", &bearer[7..]);
    let channel = Endpoint::from_shared(hub.endpoint()).unwrap().connect().await.unwrap();
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<wire::GetRequest, wire::GetResponse>::default();
    let request = Request::new(wire::GetRequest::default());
    let status = grpc.unary(request, path.parse().unwrap(), codec).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("no token"), "in the address: {status}");
}
