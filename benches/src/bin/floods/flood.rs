//! The floods: what an offender does to a hub.

use crate::peer::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, End, HEADERS, PING, Peer, RESET, SETTINGS, frame, headers,
};
use clap::ValueEnum;
use confhub_benches::Result;
use confhub_benches::hub::{Caller, Hub};
use confhub_proto::wire;
use serde::Serialize;
use std::time::Duration;
use tokio::time::{Instant, interval, sleep_until};
use tonic::transport::Endpoint;
use wire::config_service_client::ConfigServiceClient;

/// Most frames of a flood.
const FRAMES: u32 = 2_000_000;

/// Connections that begin headers and never end them.
const SLOW: usize = 1_000;

/// Connections that say nothing.
const IDLE: usize = 10_000;

/// Streams whose reader grants nothing, and bodies that are never finished.
const STREAMS: u32 = 100;

const GET: &str = "/confhub.v1.ConfigService/Get";
const PUT: &str = "/confhub.v1.AdminService/Put";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Flood {
    /// Calls that are begun and reset at once.
    RapidReset,
    /// Headers continued without end.
    Continuation,
    /// Settings without end.
    Settings,
    /// Pings without end.
    Ping,
    /// Empty data without end.
    EmptyData,
    /// 100 streams of a tenant of 4 MiB, whose reader grants nothing.
    ZeroWindow,
    /// Headers that name one long header ten thousand times.
    HeaderBomb,
    /// 1,000 connections whose headers drip.
    SlowHeaders,
    /// 10,000 connections that say nothing after the preface.
    Idle,
    /// Calls with a forged token on one connection.
    BadTokens,
    /// 100 calls whose body is never finished.
    Unfinished,
}

/// What the offender did and saw.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Frames, calls or connections.
    pub(crate) sent: u32,
    /// Connections of the offender, and how many of them the hub closed.
    pub(crate) connections: usize,
    pub(crate) closed: usize,
    /// How the last of them that was closed ended.
    pub(crate) end: Option<End>,
}

impl Flood {
    /// Floods until the hub has closed every connection, or it is time.
    pub(crate) async fn run(self, hub: &Hub, until: Instant) -> Result<Outcome> {
        let token = hub.token("globex")?;
        let forged = format!("{}AAAA", token.get(..token.len() - 4).unwrap_or_default());
        let get = headers(GET, &token);
        let odd = |i: u32| 2 * i + 1;
        match self {
            Self::RapidReset => {
                let next = |i| {
                    let begin = frame(HEADERS, END_HEADERS, odd(i), &get);
                    [begin, frame(RESET, 0, odd(i), &[0, 0, 0, 8])].concat()
                };
                one(hub, until, next).await
            }
            Self::Continuation => one(hub, until, |i| begun(i, 0, &get, CONTINUATION)).await,
            Self::Settings => one(hub, until, |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])).await,
            Self::Ping => one(hub, until, |_| frame(PING, 0, 0, &[7; 8])).await,
            Self::EmptyData => one(hub, until, |i| begun(i, END_HEADERS, &headers(PUT, &token), DATA)).await,
            Self::HeaderBomb => {
                // Into the table (RFC 7541, 6.2.1), where it is number 62 from then on.
                let long = [&[0x40, 1, b'x', 127, 0xa1, 0x1e], &[b'y'; 4_000][..]].concat();
                let (first, bomb) = ([&get[..], &long].concat(), [&get[..], &[0x80 | 62; 10_000]].concat());
                let next = |i| {
                    let block = if i == 0 { &first } else { &bomb };
                    frame(HEADERS, END_HEADERS | END_STREAM, odd(i), block)
                };
                one(hub, until, next).await
            }
            Self::BadTokens => {
                let block = headers(GET, &forged);
                one(hub, until, |i| frame(HEADERS, END_HEADERS | END_STREAM, odd(i), &block)).await
            }
            Self::ZeroWindow => zero_window(hub, &token, until).await,
            Self::SlowHeaders => slow_headers(hub, &get, until).await,
            Self::Idle => {
                let peers = connect(hub, IDLE).await?;
                ended(peers, u32::try_from(IDLE)?, until).await
            }
            Self::Unfinished => {
                let mut peer = Peer::connect(hub.address).await?;
                // A message of 4 MiB is promised, of which 8 KiB come.
                let part = [&[0, 0, 64, 0, 0][..], &[0; 8_187]].concat();
                for i in 0..STREAMS {
                    let begin = frame(HEADERS, END_HEADERS, odd(i), &headers(PUT, &token));
                    peer.write(&[begin, frame(DATA, 0, odd(i), &part)].concat(), until).await;
                }
                ended(vec![peer], STREAMS, until).await
            }
        }
    }
}

/// The headers of a call, and then empty frames of a kind.
fn begun(i: u32, flags: u8, block: &[u8], kind: u8) -> Vec<u8> {
    if i == 0 { frame(HEADERS, flags, 1, block) } else { frame(kind, 0, 1, &[]) }
}

/// Floods on one connection.
async fn one(hub: &Hub, until: Instant, next: impl Fn(u32) -> Vec<u8>) -> Result<Outcome> {
    let mut peer = Peer::connect(hub.address).await?;
    let sent = peer.flood(FRAMES, until, next).await;
    ended(vec![peer], sent, until).await
}

async fn connect(hub: &Hub, count: usize) -> Result<Vec<Peer>> {
    let mut peers = Vec::with_capacity(count);
    for _ in 0..count {
        peers.push(Peer::connect(hub.address).await?);
    }
    Ok(peers)
}

/// Waits for the ends of these connections.
async fn ended(mut peers: Vec<Peer>, sent: u32, until: Instant) -> Result<Outcome> {
    let mut outcome = Outcome { sent, connections: peers.len(), ..Outcome::default() };
    for peer in &mut peers {
        if let Some(end) = peer.ended(until).await {
            outcome.closed += 1;
            outcome.end = outcome.end.filter(|last| last.at > end.at).or(Some(end));
        }
    }
    Ok(outcome)
}

/// A byte of the headers every 200 ms, on each connection.
async fn slow_headers(hub: &Hub, block: &[u8], until: Instant) -> Result<Outcome> {
    let mut peers = connect(hub, SLOW).await?;
    let mut beats = interval(Duration::from_millis(200));
    for byte in frame(HEADERS, END_HEADERS, 1, block) {
        if beats.tick().await >= until || peers.iter().all(Peer::is_closed) {
            break;
        }
        for peer in peers.iter_mut().filter(|peer| !peer.is_closed()) {
            peer.write(&[byte], until).await;
        }
    }
    ended(peers, u32::try_from(SLOW)?, until).await
}

async fn zero_window(hub: &Hub, token: &str, until: Instant) -> Result<Outcome> {
    let endpoint = Endpoint::from_shared(format!("http://{}", hub.address))?.initial_stream_window_size(1);
    let channel = endpoint.connect().await?;
    let caller = Caller::new(channel.clone(), token)?;
    let mut client = ConfigServiceClient::new(channel);
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let request = wire::SubscribeRequest::default();
        streams.push(client.subscribe(caller.request(request)).await?.into_inner());
    }
    sleep_until(until).await;
    Ok(Outcome { sent: STREAMS, connections: 1, ..Outcome::default() })
}
