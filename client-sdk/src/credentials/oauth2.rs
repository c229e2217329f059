//! Tokens from an OAuth2 issuer, for programs that sign in as themselves
//! (cargo feature `oauth2`).

use super::answer::{issued, words};
use super::file::read_text;
use super::{Issued, TokenError, TokenRequest, TokenSource};
use crate::ConfigError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use form_urlencoded::{Serializer, byte_serialize};
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderMap, HeaderValue};
use serde_json::Value;
use std::path::PathBuf;

pub use crate::endpoint::Issuer;

/// How a client shows who it is (RFC 6749 section 2.3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// In the header `Authorization: Basic …`, which every issuer takes.
    #[default]
    Basic,
    /// In the body, for issuers that take nothing else.
    Post,
}

/// Client credentials (RFC 6749 section 4.4) as a source of tokens.
///
/// ```no_run
/// use confhub_client::{Client, SharedTokens, oauth2::ClientCredentials};
///
/// # fn build() -> Result<(), confhub_client::ConfigError> {
/// let login = ClientCredentials::builder("https://login.example.com/oauth2/token")
///     .client_id("orders")
///     .client_secret_file("/var/run/secrets/orders")
///     .scope("confhub/read")
///     .build()?;
/// let tokens = SharedTokens::new(login);
/// let builder = Client::builder().shared_tokens(&tokens);
/// # Ok(())
/// # }
/// ```
pub struct ClientCredentials {
    issuer: Issuer,
    id: String,
    secret: Secret,
    auth: ClientAuth,
    params: Vec<(String, String)>,
}

enum Secret {
    Text(String),
    /// Read anew for each request, so that a new one is followed.
    File(PathBuf),
}

/// Describes [`ClientCredentials`].
#[must_use = "a builder does nothing until `build`"]
pub struct ClientCredentialsBuilder {
    url: String,
    ca_file: Option<PathBuf>,
    id: String,
    secret: Option<Secret>,
    auth: ClientAuth,
    params: Vec<(String, String)>,
}

impl ClientCredentials {
    /// Tokens from the token endpoint at this URL: `https://`, or `http://` on this
    /// machine.
    pub fn builder(token_url: impl Into<String>) -> ClientCredentialsBuilder {
        ClientCredentialsBuilder {
            url: token_url.into(),
            ca_file: None,
            id: String::new(),
            secret: None,
            auth: ClientAuth::Basic,
            params: Vec::new(),
        }
    }

    async fn request(&self) -> Result<Issued, TokenError> {
        let secret = match &self.secret {
            Secret::Text(secret) => secret.clone(),
            Secret::File(path) => {
                read_text(path).await.map(|secret| secret.trim().to_owned()).map_err(|error| {
                    TokenError::new(format!("cannot read the client secret in `{}`: {error}", path.display()))
                })?
            }
        };
        if secret.is_empty() {
            return Err(TokenError::new("the client secret is empty"));
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if self.auth == ClientAuth::Basic {
            headers.insert(AUTHORIZATION, basic(&self.id, &secret)?);
        }
        let body = self.form(&secret).into_bytes();
        let (status, body) = self.issuer.post("application/x-www-form-urlencoded", headers, body).await?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        if !status.is_success() {
            let said = |field| answer.get(field).and_then(Value::as_str).unwrap_or_default();
            let said = [said("error"), said("error_description")].map(|said| words(said, &[&secret]));
            let said = said.iter().filter(|said| !said.is_empty()).map(String::as_str);
            let said: Vec<_> = said.collect();
            return Err(TokenError::new(format!("{} refuses: {status}: {}", self.issuer, said.join(": "))));
        }
        let bearer = |kind: &Value| kind.as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
        if !answer.get("token_type").is_none_or(bearer) {
            return Err(TokenError::new(format!("{} issues tokens that are no bearer tokens", self.issuer)));
        }
        let none = || TokenError::new(format!("{} answered {status} with no `access_token`", self.issuer));
        issued(&answer, &["access_token"]).ok_or_else(none)
    }

    fn form(&self, secret: &str) -> String {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if self.auth == ClientAuth::Post {
            form.append_pair("client_id", &self.id).append_pair("client_secret", secret);
        }
        for (name, value) in &self.params {
            form.append_pair(name, value);
        }
        form.finish()
    }
}

/// Both parts are form-encoded before they are joined.
fn basic(id: &str, secret: &str) -> Result<HeaderValue, TokenError> {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let both = STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret)));
    let mut value = HeaderValue::try_from(format!("Basic {both}")).map_err(TokenError::new)?;
    value.set_sensitive(true);
    Ok(value)
}

impl TokenSource for ClientCredentials {
    async fn token(&self, _: TokenRequest) -> Result<String, TokenError> {
        Ok(self.request().await?.token)
    }

    async fn issue(&self, _: TokenRequest) -> Result<Issued, TokenError> {
        self.request().await
    }
}

impl ClientCredentialsBuilder {
    /// Who asks.
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// What proves it.
    pub fn client_secret(mut self, secret: impl Into<String>) -> Self {
        self.secret = Some(Secret::Text(secret.into()));
        self
    }

    /// A file with what proves it, read anew for each request.
    pub fn client_secret_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.secret = Some(Secret::File(path.into()));
        self
    }

    /// What is asked for (RFC 6749 section 3.3): several are separated by spaces.
    pub fn scope(self, scope: impl Into<String>) -> Self {
        self.param("scope", scope)
    }

    /// Whom the token is for, where the issuer wants to be told (`audience`).
    pub fn audience(self, audience: impl Into<String>) -> Self {
        self.param("audience", audience)
    }

    /// How the client shows who it is. Default: [`ClientAuth::Basic`].
    pub fn auth(mut self, auth: ClientAuth) -> Self {
        self.auth = auth;
        self
    }

    /// Any other parameter that the issuer wants in the form.
    pub fn param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.params.push((name.into(), value.into()));
        self
    }

    /// A PEM file with the CA of the issuer's certificate, in place of the system's
    /// roots.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Checks all of it. Nobody is asked yet.
    ///
    /// # Errors
    /// What is missing or cannot be used.
    pub fn build(self) -> Result<ClientCredentials, ConfigError> {
        let refuse = |what, reason: &str| ConfigError::Login { what, reason: reason.to_owned() };
        if self.id.is_empty() {
            return Err(refuse("the client id", "is missing: call `.client_id`"));
        }
        let secret = match self.secret {
            None => {
                let reason = "is missing: call `.client_secret` or `.client_secret_file`";
                return Err(refuse("the client secret", reason));
            }
            Some(Secret::Text(secret)) if secret.is_empty() => {
                return Err(refuse("the client secret", "is empty"));
            }
            Some(secret) => secret,
        };
        let issuer = Issuer::new(&self.url, self.ca_file)?;
        Ok(ClientCredentials { issuer, id: self.id, secret, auth: self.auth, params: self.params })
    }
}

impl std::fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCredentials")
            .field("issuer", &self.issuer)
            .field("id", &self.id)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ClientCredentialsBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCredentialsBuilder")
            .field("id", &self.id)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_would_show_the_secret_is_told_before_anybody_is_asked() {
        let good = |url: &str| ClientCredentials::builder(url).client_id("me").client_secret("hunter2");
        for (builder, part) in [
            (good("http://login.example.com/token"), "plain http"),
            (good("login.example.com"), "must start with"),
            (good("https://me:hunter2@login.example.com/"), "must not name a user"),
            (ClientCredentials::builder("http://127.0.0.1/").client_secret("hunter2"), "client id"),
            (ClientCredentials::builder("http://127.0.0.1/").client_id("me"), "client secret"),
            (good("http://127.0.0.1/").client_secret(""), "is empty"),
            (good("https://127.0.0.1/").ca_file("/nonexistent/ca.pem"), "/nonexistent/ca.pem"),
        ] {
            let error = builder.build().unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("hunter2"), "{error}");
        }
        let login = good("http://127.0.0.1:8080/token?tenant=a").build().unwrap();
        assert!(!format!("{login:?} {:?}", good("")).contains("hunter2"));
    }

    #[test]
    fn id_and_secret_are_encoded_before_they_are_joined() {
        let value = basic("a:b", "c d%é").unwrap();
        let encoded = value.to_str().unwrap().strip_prefix("Basic ").unwrap();
        assert_eq!(STANDARD.decode(encoded).unwrap(), b"a%3Ab:c+d%25%C3%A9");
        assert!(value.is_sensitive());
    }
}
