//! Issuers of the test's own: a key set in a file, or a server on loopback that
//! publishes it.

use super::signing::SigningKey;
use super::{Hub, soon};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The second that it is now.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Claims that are good for an hour.
pub fn claims(issuer: &str, tenant: &str) -> Value {
    json!({
        "iss": issuer, "sub": "tester", "aud": "confhub", "token_use": "id",
        "iat": now(), "exp": now() + 3_600,
        "custom:tenantId": tenant, "cognito:groups": ["writer"],
    })
}

/// What a server answers on its paths; any other is not found.
type Pages = Arc<Mutex<HashMap<String, Vec<u8>>>>;

/// A server on loopback that says where its keys are, and counts who asks.
pub struct IssuerServer {
    pub name: String,
    pages: Pages,
    reads: Arc<AtomicUsize>,
    failures: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl IssuerServer {
    /// Publishes the keys, below the path of the discovery document.
    pub async fn start(keys: &[&SigningKey]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let name = format!("http://{}/pool", listener.local_addr().unwrap());
        let (pages, reads, failures) = (Pages::default(), Arc::default(), Arc::default());
        let serving =
            tokio::spawn(serve(listener, Arc::clone(&pages), Arc::clone(&reads), Arc::clone(&failures)));
        let server = Self { name, pages, reads, failures, serving };
        server.recover(keys);
        server
    }

    /// Says where its keys are, and publishes them.
    pub fn recover(&self, keys: &[&SigningKey]) {
        self.say(&self.name, &format!("{}/keys", self.name));
        self.publish(keys);
    }

    /// What the document says from now on.
    pub fn say(&self, issuer: &str, jwks_uri: &str) {
        let document =
            json!({ "issuer": issuer, "jwks_uri": jwks_uri, "response_types_supported": ["code"] });
        self.set("/pool/.well-known/openid-configuration", document.to_string().into_bytes());
    }

    /// The keys from now on.
    pub fn publish(&self, keys: &[&SigningKey]) {
        self.set("/pool/keys", key_set(keys));
    }

    /// Everything is gone until it is said and published again.
    pub fn fail(&self) {
        self.pages.lock().unwrap().clear();
    }

    /// How often the keys were asked for.
    pub fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    /// Waits until it was asked in vain this many times more.
    pub async fn until_asked_in_vain(&self, times: usize) {
        let before = self.failures.load(Ordering::SeqCst);
        let reached = async {
            let mut looks = tokio::time::interval(Duration::from_millis(10));
            while self.failures.load(Ordering::SeqCst) < before + times {
                looks.tick().await;
            }
        };
        soon("an issuer to be asked in vain", reached).await;
    }

    fn set(&self, path: &str, body: Vec<u8>) {
        self.pages.lock().unwrap().insert(path.to_owned(), body);
    }
}

impl Drop for IssuerServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, pages: Pages, reads: Arc<AtomicUsize>, failures: Arc<AtomicUsize>) {
    while let Ok((mut socket, _)) = listener.accept().await {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n")
            && socket.read_buf(&mut request).await.is_ok_and(|read| read > 0)
        {}
        let request = String::from_utf8_lossy(&request).into_owned();
        let path = request.split(' ').nth(1).unwrap_or_default();
        if path.ends_with("/keys") {
            reads.fetch_add(1, Ordering::SeqCst);
        }
        let page = pages.lock().unwrap().get(path).cloned();
        if page.is_none() {
            failures.fetch_add(1, Ordering::SeqCst);
        }
        let status = if page.is_some() { "200 OK" } else { "503 Service Unavailable" };
        let body = page.unwrap_or_default();
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
        // A reader that has had enough hangs up: its right.
        let _ = socket.write_all(&[head.as_bytes(), &body].concat()).await;
    }
}

/// The key set of an issuer with these keys.
pub fn key_set(keys: &[&SigningKey]) -> Vec<u8> {
    let keys: Vec<_> = keys.iter().map(|key| &key.jwk).collect();
    json!({ "keys": keys }).to_string().into_bytes()
}

impl Hub {
    /// Writes a key set beside the data of a hub to come, and says where.
    pub fn key_file(folder: &tempfile::TempDir, name: &str, keys: &[&SigningKey]) -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, key_set(keys)).unwrap();
        path
    }

    /// Waits until calls with this token are answered as `wanted`.
    pub async fn until_token(&self, token: &str, wanted: Option<tonic::Code>) {
        let caller = self.caller_with(token).await;
        let reached = async {
            let mut looks = tokio::time::interval(Duration::from_millis(50));
            while caller.get("", "tenant_config_probe").await.err().map(|status| status.code()) != wanted {
                looks.tick().await;
            }
        };
        soon("a token to be judged anew", reached).await;
    }

    /// Calls with any token.
    pub async fn caller_with(&self, token: &str) -> super::Caller {
        super::Caller::connect(&self.endpoint(), token).await
    }
}
