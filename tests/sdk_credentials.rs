//! Where the SDK's tokens come from: files, commands, issuers, and what many clients
//! of one source ask of it.

use crate::support::{Certificates, Hub, soon, until_status};
use confhub::auth::Role;
use confhub_client::oauth2::{ClientAuth, ClientCredentials, ClientCredentialsBuilder};
use confhub_client::{Client, Pool, SharedTokens, Status, TokenError, TokenRequest, TokenSource};
use futures_util::future::join_all;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A token of `acme` that lives for so many seconds.
fn token(hub: &Hub, seconds: u64) -> String {
    hub.token_of("acme", None, &[Role::Reader], Duration::from_secs(seconds))
}

/// Waits until a client has moved to another stream, and was ready all the time.
async fn moved(client: &Client) {
    let moved = async {
        while client.stats().reconnects == 0 {
            assert!(client.status().is_ready(), "nothing is wrong: {}", client.status());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon("the new token", moved).await;
    until_status(client, "the new stream", Status::is_ready).await;
}

#[tokio::test]
async fn a_token_file_that_is_replaced_is_followed_before_the_old_token_expires() {
    let hub = Hub::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, token(&hub, 4)).unwrap();
    let client = Client::builder().endpoint(hub.endpoint()).token_file(&path).connect().await.unwrap();
    // As whoever rotates secrets does it: a new file takes the place of the old one.
    std::fs::write(folder.path().join("new"), format!("{}\n", token(&hub, 3_600))).unwrap();
    std::fs::rename(folder.path().join("new"), &path).unwrap();
    moved(&client).await;
}

/// So that the old token can be revoked: a client that still had it would be shut out.
#[tokio::test]
async fn a_token_file_that_is_replaced_is_followed_long_before_the_old_token_expires() {
    let hub = Hub::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, token(&hub, 3_600)).unwrap();
    let client = Client::builder().endpoint(hub.endpoint()).token_file(&path).connect().await.unwrap();
    std::fs::write(folder.path().join("new"), token(&hub, 7_200)).unwrap();
    std::fs::rename(folder.path().join("new"), &path).unwrap();
    soon("the move to the new token", async {
        while client.stats().moves == 0 {
            assert!(client.status().is_ready(), "nothing is wrong: {}", client.status());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(client.stats().reconnects, client.stats().moves, "the old stream was not left before");
}

#[tokio::test]
async fn a_command_gives_the_token_and_is_run_again_before_it_expires() {
    let hub = Hub::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (path, runs) = (folder.path().join("token"), folder.path().join("runs"));
    let say = |token: String| std::fs::write(&path, format!(r#"{{"id_token":"{token}"}}"#)).unwrap();
    say(token(&hub, 4));
    let script = format!("echo run >> {}; cat {}", runs.display(), path.display());
    let builder = Client::builder().endpoint(hub.endpoint()).token_command("sh", ["-c", &script]);
    let client = builder.connect().await.unwrap();
    say(token(&hub, 3_600));
    moved(&client).await;
    let runs = std::fs::read_to_string(&runs).unwrap().lines().count();
    assert!((2..=8).contains(&runs), "{runs}");
}

#[tokio::test]
async fn a_command_that_fails_is_why_there_is_no_client() {
    let hub = Hub::start().await;
    let builder = Client::builder().endpoint(hub.endpoint()).connect_timeout(Duration::from_secs(1));
    let builder = builder.token_command("sh", ["-c", "echo the vault is sealed >&2; exit 2"]);
    let error = builder.connect().await.unwrap_err().to_string();
    assert!(error.contains("exit status: 2") && error.contains("the vault is sealed"), "{error}");
}

/// Hands out the hub's tokens; how often it was asked.
struct Counted {
    hub: Arc<Hub>,
    seconds: u64,
    asked: Arc<AtomicUsize>,
    renewed: Arc<AtomicUsize>,
    fails: Arc<AtomicBool>,
}

impl Counted {
    fn new(hub: &Arc<Hub>, seconds: u64) -> Self {
        Self {
            hub: Arc::clone(hub),
            seconds,
            asked: Arc::default(),
            renewed: Arc::default(),
            fails: Arc::default(),
        }
    }
}

impl TokenSource for Counted {
    async fn token(&self, request: TokenRequest) -> Result<String, TokenError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.renewed.fetch_add(usize::from(request.renew), Ordering::SeqCst);
        // Long enough that all who want one are there before it is.
        tokio::time::sleep(Duration::from_millis(50)).await;
        match self.fails.load(Ordering::SeqCst) {
            true => Err(TokenError::new("the issuer is down")),
            // A fraction of a second is all that tells two tokens apart.
            false => Ok(token(&self.hub, self.seconds)),
        }
    }
}

#[tokio::test]
async fn fifty_clients_of_one_source_ask_it_once_and_renew_once() {
    let hub = Arc::new(Hub::start().await);
    let source = Counted::new(&hub, 6);
    let (asked, renewed) = (Arc::clone(&source.asked), Arc::clone(&source.renewed));
    let tokens = SharedTokens::new(source);
    let began = tokio::time::Instant::now();
    let connect = || Client::builder().endpoint(hub.endpoint()).shared_tokens(&tokens).connect();
    let clients = join_all((0..50).map(|_| connect())).await;
    let clients: Vec<_> = clients.into_iter().map(Result::unwrap).collect();
    assert_eq!((asked.load(Ordering::SeqCst), renewed.load(Ordering::SeqCst)), (1, 0));
    join_all(clients.iter().map(moved)).await;
    // All have moved, each once at least. However long that took, there was no second
    // with more than a request or two.
    let (asked, most) =
        (asked.load(Ordering::SeqCst), 2 + 2 * usize::try_from(began.elapsed().as_secs()).unwrap());
    assert!(asked >= 2 && asked <= most, "{asked} requests for 50 clients; at most {most}");
}

#[tokio::test]
async fn a_source_that_is_down_sees_few_requests_of_many_clients() {
    let hub = Arc::new(Hub::start().await);
    let source = Counted::new(&hub, 3_600);
    source.fails.store(true, Ordering::SeqCst);
    let (asked, fails) = (Arc::clone(&source.asked), Arc::clone(&source.fails));
    let tokens = SharedTokens::new(source);
    let connect = |wait: u64| {
        let builder = Client::builder().endpoint(hub.endpoint()).shared_tokens(&tokens);
        builder.connect_timeout(Duration::from_secs(wait)).connect()
    };
    for error in join_all((0..50).map(|_| connect(2))).await {
        let error = error.unwrap_err().to_string();
        assert!(error.contains("the issuer is down"), "{error}");
    }
    let seen = asked.load(Ordering::SeqCst);
    // Pauses double from a tenth of a second: the ninth request is at least six later.
    assert!((1..=8).contains(&seen), "{seen} requests in two seconds");
    fails.store(false, Ordering::SeqCst);
    for client in join_all((0..50).map(|_| connect(60))).await {
        client.unwrap();
    }
    assert!(asked.load(Ordering::SeqCst) <= seen + 2);
}

#[tokio::test]
async fn a_pool_and_a_client_share_the_source_of_a_tenant() {
    let hub = Arc::new(Hub::start().await);
    let source = Counted::new(&hub, 3_600);
    let asked = Arc::clone(&source.asked);
    let tokens = SharedTokens::new(source);
    let of_pool = tokens.clone();
    let pool = Pool::builder().endpoint(hub.endpoint()).shared_tokens(move |_| of_pool.clone());
    let pool = pool.build().unwrap();
    let client = Client::builder().endpoint(hub.endpoint()).shared_tokens(&tokens).connect().await.unwrap();
    pool.tenant("acme").await.unwrap();
    assert!(client.status().is_ready());
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    pool.close().await;
}

/// An issuer's token endpoint: answers each request with what `answer` makes of it,
/// and keeps the requests.
struct TokenEndpoint {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
    running: tokio::task::JoinHandle<()>,
}

impl TokenEndpoint {
    async fn start(
        tls: Option<&Certificates>,
        answer: impl Fn(usize) -> (u16, String) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}/oauth2/token?x=1", listener.local_addr().unwrap());
        let acceptor = tls.map(acceptor);
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let running = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let served = match &acceptor {
                    None => serve(stream, &seen, &answer).await,
                    Some(acceptor) => match acceptor.accept(stream).await {
                        Ok(stream) => serve(stream, &seen, &answer).await,
                        Err(error) => Err(error),
                    },
                };
                // Whoever does not trust the certificate hangs up.
                drop(served);
            }
        });
        Self { url, requests, running }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn login(&self) -> ClientCredentialsBuilder {
        ClientCredentials::builder(&self.url).client_id("orders").client_secret("hunter2:+")
    }
}

impl Drop for TokenEndpoint {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn acceptor(certificates: &Certificates) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(certificates.path("server.pem")).unwrap();
    let chain = chain.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(certificates.path("server.key")).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap()))
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    seen: &Mutex<Vec<String>>,
    answer: impl Fn(usize) -> (u16, String),
) -> std::io::Result<()> {
    let mut request = Vec::new();
    let length = |text: &str| {
        let (head, _) = text.split_once("\r\n\r\n")?;
        let value = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
        Some(head.len() + 4 + value.parse::<usize>().unwrap())
    };
    loop {
        let text = String::from_utf8_lossy(&request);
        if length(&text).is_some_and(|length| request.len() >= length) {
            break;
        }
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(String::from_utf8(request).unwrap());
        seen.len() - 1
    };
    let (status, body) = answer(number);
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await?;
    stream.shutdown().await
}

#[tokio::test]
async fn client_credentials_bring_a_token_over_tls_and_another_before_it_expires() {
    let hub = Arc::new(Hub::start().await);
    let certificates = Certificates::new();
    let of = Arc::clone(&hub);
    let endpoint = TokenEndpoint::start(Some(&certificates), move |number| {
        let seconds = if number == 0 { 4 } else { 3_600 };
        let token = token(&of, seconds);
        (200, format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{seconds}}}"#))
    })
    .await;
    let login = endpoint.login().ca_file(certificates.path("ca.pem")).scope("confhub/read");
    let tokens = SharedTokens::new(login.audience("confhub").param("resource", "a b").build().unwrap());
    let connect = || Client::builder().endpoint(hub.endpoint()).shared_tokens(&tokens).connect();
    let clients = join_all((0..10).map(|_| connect())).await;
    let clients: Vec<_> = clients.into_iter().map(Result::unwrap).collect();
    assert_eq!(endpoint.requests().len(), 1);
    join_all(clients.iter().map(moved)).await;
    assert_eq!(endpoint.requests().len(), 2);
    for request in endpoint.requests() {
        assert!(request.starts_with("POST /oauth2/token?x=1 HTTP/1.1\r\n"), "{request}");
        // The Basic credentials of RFC 6749 section 2.3.1: `orders:hunter2%3A%2B`.
        assert!(request.contains("authorization: Basic b3JkZXJzOmh1bnRlcjIlM0ElMkI=\r\n"), "{request}");
        let form = "grant_type=client_credentials&scope=confhub%2Fread&audience=confhub&resource=a+b";
        assert!(request.ends_with(&format!("\r\n\r\n{form}")), "{request}");
    }
    // With no CA named, the system's roots count, and none of them has signed this.
    let error = refused(&hub, endpoint.login()).await;
    assert!(error.contains("signed by no CA that is trusted here"), "{error}");
    assert_eq!(endpoint.requests().len(), 2, "no secret was sent");
}

/// Why there is no client with this login.
async fn refused(hub: &Hub, login: ClientCredentialsBuilder) -> String {
    let builder = Client::builder().endpoint(hub.endpoint()).token_source(login.build().unwrap());
    let refused = builder.connect_timeout(Duration::from_millis(500)).connect().await;
    let error = refused.unwrap_err().to_string();
    assert!(!error.contains("hunter2"), "{error}");
    error
}

#[tokio::test]
async fn what_an_issuer_refuses_is_told_and_the_secret_never() {
    let hub = Hub::start().await;
    let words = r#"{"error":"invalid_client","error_description":"hunter2:+ is not it"}"#;
    for (status, answer, part) in [
        (401, words.to_owned(), "401 Unauthorized: invalid_client: … is not it"),
        (503, "<html>".to_owned(), "503"),
        (302, String::new(), "302"),
        (200, "{}".to_owned(), "no `access_token`"),
        (200, "hunter2:+".to_owned(), "no `access_token`"),
        (200, r#"{"access_token":"a","token_type":"mac"}"#.to_owned(), "no bearer tokens"),
        (200, "x".repeat(100_000), "length limit exceeded"),
    ] {
        let endpoint = TokenEndpoint::start(None, move |_| (status, answer.clone())).await;
        let error = refused(&hub, endpoint.login()).await;
        assert!(error.contains(part) && error.len() < 600, "{part}: {error}");
    }
    let gone = TokenEndpoint::start(None, |_| (200, String::new())).await;
    gone.running.abort();
    let login = gone.login();
    until_refused(&gone.url).await;
    let error = refused(&hub, login).await;
    assert!(error.contains("refused"), "{error}");
}

/// Waits until nobody listens there any more.
async fn until_refused(url: &str) {
    let address = url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
    let refused = async {
        while tokio::net::TcpStream::connect(&address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    soon("the issuer to be gone", refused).await;
}

#[tokio::test]
async fn a_secret_in_a_file_is_read_anew_and_sent_as_the_issuer_wants_it() {
    let hub = Arc::new(Hub::start().await);
    let of = Arc::clone(&hub);
    let endpoint = TokenEndpoint::start(None, move |number| match number {
        0 => (401, r#"{"error":"invalid_client"}"#.to_owned()),
        _ => (200, format!(r#"{{"access_token":"{}","expires_in":"3600"}}"#, token(&of, 3_600))),
    })
    .await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "old\n").unwrap();
    let login = ClientCredentials::builder(&endpoint.url).client_id("orders").auth(ClientAuth::Post);
    let login = login.client_secret_file(file.path()).build().unwrap();
    let builder = Client::builder().endpoint(hub.endpoint()).token_source(login);
    let connecting = tokio::spawn(builder.connect_timeout(Duration::from_secs(60)).connect());
    let first = async {
        while endpoint.requests().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon("the first request", first).await;
    std::fs::write(file.path(), "new\n").unwrap();
    soon("the client", connecting).await.unwrap().unwrap();
    let requests = endpoint.requests();
    let form =
        |secret| format!("\r\n\r\ngrant_type=client_credentials&client_id=orders&client_secret={secret}");
    assert!(requests[0].ends_with(&form("old")) && !requests[0].contains("authorization"), "{requests:?}");
    assert!(requests[1].ends_with(&form("new")), "{requests:?}");
}
