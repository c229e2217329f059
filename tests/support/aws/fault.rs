//! A proxy between a hub and the emulator that fails as it is told, and counts
//! what passes.

use super::super::soon;
use super::policy::ungranted;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the proxy does with a call instead of passing it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// Answers 400 with this error code.
    Refuse(&'static str),
    /// Answers with this status and no error code.
    Fail(u16),
    /// Answers nothing for as long as the caller waits.
    Hang,
    /// Breaks the connection.
    Reset,
    /// Passes the call on, and breaks the connection instead of answering.
    Lose,
}

/// Calls that are held up, until this is dropped.
pub struct Held {
    target: String,
    shared: Arc<Shared>,
    arrived: watch::Receiver<u64>,
}

impl Held {
    /// Waits until so many calls have arrived.
    pub async fn until(&mut self, calls: u64) {
        soon("calls to arrive", self.arrived.wait_for(|arrived| *arrived >= calls)).await.unwrap();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Its sender goes with it, and the calls go on.
        self.shared.held.lock().unwrap().retain(|(target, _)| *target != self.target);
    }
}

/// Forwards to the emulator what the stack lets a hub do, but for the calls that are to fail.
pub struct FaultProxy {
    pub endpoint: String,
    shared: Arc<Shared>,
    running: JoinHandle<()>,
}

struct Fault {
    target: String,
    does: Does,
    /// It is over after one call.
    once: bool,
}

struct Shared {
    to: String,
    client: Client<HttpConnector, Full<Bytes>>,
    faults: Mutex<Vec<Fault>>,
    /// Session tokens that have expired.
    expired: Mutex<HashSet<String>>,
    /// Counts how often everything under way was broken off.
    cuts: watch::Sender<u64>,
    held: Mutex<Vec<(String, watch::Sender<u64>)>>,
    /// Calls by their targets, refused ones too.
    calls: Mutex<HashMap<String, u64>>,
    /// The same, of those that say a text.
    about: Mutex<Option<(String, HashMap<String, u64>)>>,
}

impl FaultProxy {
    pub async fn to(endpoint: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let shared = Shared {
            to: endpoint.to_owned(),
            client,
            faults: Mutex::default(),
            expired: Mutex::default(),
            cuts: watch::Sender::default(),
            held: Mutex::default(),
            calls: Mutex::default(),
            about: Mutex::default(),
        };
        let shared = Arc::new(shared);
        let running = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { endpoint: format!("http://{address}"), shared, running }
    }

    /// From now on, calls whose target begins with this fail so: the target is the
    /// service and the call, as in `DynamoDB_20120810.GetItem`, `AmazonSSM.`,
    /// `AmazonSQS.ReceiveMessage`; empty: all calls.
    pub fn fail(&self, target: &str, does: Does) {
        self.add(target, does, false);
    }

    /// The next such call fails so, and those after it do not.
    pub fn fail_once(&self, target: &str, does: Does) {
        self.add(target, does, true);
    }

    fn add(&self, target: &str, does: Does, once: bool) {
        self.shared.faults.lock().unwrap().insert(0, Fault { target: target.to_owned(), does, once });
    }

    /// From now on, calls with this session token are refused, as those of
    /// credentials that have expired.
    pub fn expire(&self, token: &str) {
        self.shared.expired.lock().unwrap().insert(token.to_owned());
    }

    /// Breaks off every call that is under way.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Holds up calls whose target begins with this.
    pub fn hold(&self, target: &str) -> Held {
        let (count, arrived) = watch::channel(0);
        self.shared.held.lock().unwrap().push((target.to_owned(), count));
        Held { target: target.to_owned(), shared: Arc::clone(&self.shared), arrived }
    }

    /// From now on nothing fails.
    pub fn heal(&self) {
        self.shared.faults.lock().unwrap().clear();
    }

    /// How many calls had a target that begins with this.
    pub fn calls(&self, target: &str) -> u64 {
        sum(&self.shared.calls.lock().unwrap(), target)
    }

    /// From now on, calls whose bodies say this are counted too.
    pub fn look_for(&self, text: &str) {
        *self.shared.about.lock().unwrap() = Some((text.to_owned(), HashMap::new()));
    }

    /// How many calls with such a target said what was looked for.
    pub fn found(&self, target: &str) -> u64 {
        let about = self.shared.about.lock().unwrap();
        sum(&about.as_ref().expect("nothing was looked for").1, target)
    }
}

/// How many calls had a target that begins with this.
fn sum(calls: &HashMap<String, u64>, target: &str) -> u64 {
    calls.iter().filter(|(name, _)| name.starts_with(target)).map(|(_, count)| count).sum()
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Shared {
    fn does(&self, target: &str, expired: bool) -> Option<Does> {
        if expired {
            return Some(Does::Refuse("ExpiredTokenException"));
        }
        let mut faults = self.faults.lock().unwrap();
        let index = faults.iter().position(|fault| target.starts_with(&fault.target))?;
        Some(if faults[index].once { faults.remove(index).does } else { faults[index].does })
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let answer = service_fn(move |request| answer(Arc::clone(&shared), request));
            // An error of the answer breaks the connection, as it is meant to.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let target = target(&head, &body);
    *shared.calls.lock().unwrap().entry(target.clone()).or_default() += 1;
    if let Some((text, calls)) = &mut *shared.about.lock().unwrap()
        && body.windows(text.len()).any(|part| part == text.as_bytes())
    {
        *calls.entry(target.clone()).or_default() += 1;
    }
    if let Some(action) = ungranted(&target) {
        let error = format!(r#"{{"__type":"AccessDeniedException","message":"no right to {action}"}}"#);
        return Ok(status(StatusCode::BAD_REQUEST, error, "AccessDeniedException"));
    }
    let gate = {
        let held = shared.held.lock().unwrap();
        held.iter().find(|(name, _)| target.starts_with(name)).map(|(_, count)| {
            count.send_modify(|count| *count += 1);
            count.subscribe()
        })
    };
    if let Some(mut gate) = gate {
        // It never is: this ends when the sender goes.
        let _ = gate.wait_for(|_| false).await;
    }
    let token = head.headers.get("x-amz-security-token").and_then(|token| token.to_str().ok());
    let expired = token.is_some_and(|token| shared.expired.lock().unwrap().contains(token));
    match shared.does(&target, expired) {
        None => {
            let mut cuts = shared.cuts.subscribe();
            tokio::select! {
                answer = pass(&shared, head, body) => answer,
                _ = cuts.changed() => Err(io::ErrorKind::ConnectionReset.into()),
            }
        }
        Some(Does::Refuse(code)) => {
            let error = format!(r#"{{"__type":"{code}","message":"injected by the test"}}"#);
            Ok(status(StatusCode::BAD_REQUEST, error, code))
        }
        Some(Does::Fail(code)) => Ok(status(StatusCode::from_u16(code).unwrap(), String::new(), "")),
        Some(Does::Hang) => {
            // The caller breaks the connection when it has waited long enough.
            std::future::pending::<()>().await;
            Err(io::ErrorKind::TimedOut.into())
        }
        Some(Does::Reset) => Err(io::ErrorKind::ConnectionReset.into()),
        Some(Does::Lose) => {
            let _ = pass(&shared, head, body).await;
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
}

fn status(status: StatusCode, body: String, code: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert("x-amzn-errortype", code.parse().unwrap());
    response
}

/// The service and the call. SNS and STS name theirs in the body.
fn target(head: &http::request::Parts, body: &Bytes) -> String {
    if let Some(target) = head.headers.get("x-amz-target") {
        return target.to_str().unwrap_or_default().to_owned();
    }
    let text = String::from_utf8_lossy(body);
    text.split('&').find_map(|pair| pair.strip_prefix("Action=")).unwrap_or_default().to_owned()
}

async fn pass(
    shared: &Shared,
    head: http::request::Parts,
    body: Bytes,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = head.method;
    *request.uri_mut() = format!("{}{path}", shared.to).parse().unwrap();
    *request.headers_mut() = head.headers;
    let response = shared.client.request(request).await.map_err(io::Error::other)?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    Ok(Response::from_parts(head, Full::new(body)))
}
