//! A client that signs in to an Amazon Cognito user pool as a user, and stays signed
//! in: with the password once, then with the refresh token, ahead of each expiry.
//!
//! The user pool's app client needs the flows `ALLOW_USER_PASSWORD_AUTH` and
//! `ALLOW_REFRESH_TOKEN_AUTH` and no secret; the user, the attribute
//! `custom:tenantId`. The hub needs the pool as its issuer.
//!
//! ```text
//! export COGNITO_ENDPOINT=https://cognito-idp.eu-central-1.amazonaws.com
//! export COGNITO_CLIENT_ID=…
//! export COGNITO_USER=orders
//! export COGNITO_PASSWORD_FILE=/var/run/secrets/orders
//! cargo run -p confhub-client --features oauth2 --example cognito
//! ```
//!
//! `COGNITO_ENDPOINT` may be an emulator on this machine (`http://127.0.0.1:4566`),
//! `CONFHUB_ENDPOINT` names the hub. With `--sign-in` it only signs in and refreshes,
//! and shows what came of it, without any token: to try this with no hub.

use confhub_client::oauth2::Issuer;
use confhub_client::{Client, TokenError, TokenRequest, TokenSource};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

/// A signed-in user. Clients ask one at a time, so nothing here has to.
struct CognitoUser {
    issuer: Issuer,
    client_id: String,
    user: String,
    password_file: PathBuf,
    /// What the last sign-in brought. Held in memory alone.
    refresh_token: Mutex<Option<String>>,
}

impl TokenSource for CognitoUser {
    /// An ID token says itself how long it lives, so there is no more to tell.
    async fn token(&self, _: TokenRequest) -> Result<String, TokenError> {
        let answer = self.sign_in().await?;
        let token = answer["AuthenticationResult"]["IdToken"].as_str();
        Ok(token.ok_or_else(|| TokenError::new("Cognito issued no ID token"))?.to_owned())
    }
}

impl CognitoUser {
    async fn sign_in(&self) -> Result<Value, TokenError> {
        let refresh = self.refresh_token.lock().map_err(TokenError::new)?.clone();
        if let Some(refresh) = refresh {
            match self.initiate("REFRESH_TOKEN_AUTH", json!({"REFRESH_TOKEN": refresh})).await {
                Ok(answer) => return Ok(answer),
                // It has expired or was revoked, and the password brings another one.
                Err(error) => println!("signing in anew, since {error}"),
            }
        }
        let password = tokio::fs::read_to_string(&self.password_file).await.map_err(TokenError::new)?;
        let parameters = json!({"USERNAME": self.user, "PASSWORD": password.trim_end()});
        self.initiate("USER_PASSWORD_AUTH", parameters).await
    }

    /// `InitiateAuth`, as in the Cognito user pools API reference.
    async fn initiate(&self, flow: &str, parameters: Value) -> Result<Value, TokenError> {
        let mut headers = HeaderMap::new();
        let target = "AWSCognitoIdentityProviderService.InitiateAuth";
        headers.insert("x-amz-target", HeaderValue::from_static(target));
        let body = json!({"AuthFlow": flow, "ClientId": self.client_id, "AuthParameters": parameters});
        let body = body.to_string().into_bytes();
        let (status, body) = self.issuer.post("application/x-amz-json-1.1", headers, body).await?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        if !status.is_success() {
            let said = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
            return Err(TokenError::new(format!("{flow}: {status}: {} {}", said("__type"), said("message"))));
        }
        // A challenge, as for a password that has to be changed, is for a person.
        if let Some(challenge) = answer["ChallengeName"].as_str() {
            return Err(TokenError::new(format!("Cognito asks for {challenge}: sign in by hand once")));
        }
        // A refresh brings no new refresh token unless the pool rotates them.
        if let Some(refresh) = answer["AuthenticationResult"]["RefreshToken"].as_str() {
            *self.refresh_token.lock().map_err(TokenError::new)? = Some(refresh.to_owned());
        }
        Ok(answer)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let set = |name: &str| env::var(name).map_err(|_| format!("set {name}"));
    let user = CognitoUser {
        issuer: Issuer::new(&set("COGNITO_ENDPOINT")?, None)?,
        client_id: set("COGNITO_CLIENT_ID")?,
        user: set("COGNITO_USER")?,
        password_file: set("COGNITO_PASSWORD_FILE")?.into(),
        refresh_token: Mutex::new(None),
    };
    if env::args().nth(1).as_deref() == Some("--sign-in") {
        for flow in ["with the password", "with the refresh token"] {
            let answer = user.sign_in().await?;
            let lives = answer["AuthenticationResult"]["ExpiresIn"].as_u64().unwrap_or_default();
            println!("signed in {flow}: an ID token for {:?}", Duration::from_secs(lives));
        }
        return Ok(());
    }
    let endpoint = env::var("CONFHUB_ENDPOINT").unwrap_or_else(|_| "http://127.0.0.1:7600".to_owned());
    let client = Client::builder().endpoint(endpoint).token_source(user).connect().await?;
    let mut status = client.watch_status();
    println!("{} entries; Ctrl-C ends", client.snapshot().len());
    loop {
        tokio::select! {
            Some(status) = status.next() => println!("{status}"),
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    client.close().await;
    Ok(())
}
