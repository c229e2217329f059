//! What gives a task its credentials, as ECS and EKS have it.

use aws_sdk_sts::primitives::{DateTime, DateTimeFormat};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How long the first credentials live: the SDK asks for the next ones when they
/// have ten seconds left.
const FIRST: Duration = Duration::from_secs(16);

/// Gives credentials whose session token is `first` until it is told to renew,
/// and `second` from then on.
pub struct CredentialServer {
    pub url: String,
    shared: Arc<Shared>,
    running: JoinHandle<()>,
}

struct Shared {
    account: String,
    token: Mutex<&'static str>,
    asked: Mutex<HashMap<&'static str, u64>>,
}

impl CredentialServer {
    pub async fn start(account: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/credentials", listener.local_addr().unwrap());
        let shared =
            Shared { account: account.to_owned(), token: Mutex::new("first"), asked: Mutex::default() };
        let shared = Arc::new(shared);
        let running = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { url, shared, running }
    }

    pub fn renew(&self) {
        *self.shared.token.lock().unwrap() = "second";
    }

    /// How often it has given credentials with this token.
    pub fn asked(&self, token: &str) -> u64 {
        self.shared.asked.lock().unwrap().get(token).copied().unwrap_or(0)
    }
}

impl Drop for CredentialServer {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let answer = service_fn(move |_: Request<Incoming>| {
                let body = shared.answer();
                async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body)))) }
            });
            let http = hyper::server::conn::http1::Builder::new();
            let _ = http.serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

impl Shared {
    fn answer(&self) -> String {
        let token = *self.token.lock().unwrap();
        *self.asked.lock().unwrap().entry(token).or_default() += 1;
        let life = if token == "first" { FIRST } else { Duration::from_secs(3_600) };
        let end = DateTime::from(SystemTime::now() + life).fmt(DateTimeFormat::DateTime).unwrap();
        let key = &self.account;
        serde_json::json!({
            "AccessKeyId": key, "SecretAccessKey": "emulator", "Token": token, "Expiration": end
        })
        .to_string()
    }
}
