//! A tenant that does all it can, on a thread of its own that takes only what the
//! measured tenant leaves of the core.

use clap::ValueEnum;
use confhub_benches::hub::Caller;
use confhub_benches::{Error, Result, input, process};
use confhub_proto::wire;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, yield_now};
use tonic::transport::{Channel, Endpoint};
use wire::admin_service_client::AdminServiceClient;
use wire::config_service_client::ConfigServiceClient;

/// Writers without a pause, each with a key of its own.
const WRITERS: usize = 64;

/// Loops of `List`.
const LISTS: usize = 16;

/// What is asked of the noisy thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing.
    Quiet,
    /// Use the load's core without calling the hub: what the measuring itself does.
    Burn,
    /// All it can.
    Noise,
    /// The end.
    Over,
}

/// A part of what a noisy tenant does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// 64 writers without a pause.
    Writers,
    /// 16 loops of `List` on a large state.
    Lists,
    /// Opens a stream, takes its first frame, drops it, and again.
    Opens,
}

/// Answers that the noisy tenant has had.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answers {
    pub(crate) done: [u64; 3],
    pub(crate) refused: [u64; 3],
}

/// Runs until it is told that it is over, or nobody can tell it any more; sends its
/// answers after each time of noise.
pub(crate) fn start(
    address: SocketAddr,
    token: String,
    parts: Vec<Part>,
    mode: watch::Receiver<Mode>,
    answers: mpsc::Sender<Answers>,
) -> JoinHandle<Result<()>> {
    std::thread::spawn(move || {
        process::step_back()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = run(address, token, parts, mode, answers);
        tokio::task::LocalSet::new().block_on(&runtime, work)
    })
}

async fn run(
    address: SocketAddr,
    token: String,
    parts: Vec<Part>,
    mut mode: watch::Receiver<Mode>,
    answers: mpsc::Sender<Answers>,
) -> Result<()> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
    let mut callers = Vec::new();
    for part in parts {
        // A connection for each part, as several programs would have.
        let channel = endpoint.connect().await?;
        callers.push((part, channel.clone(), Caller::new(channel, &token)?));
    }
    loop {
        let now = *mode.borrow_and_update();
        match now {
            Mode::Quiet => mode.changed().await?,
            Mode::Burn => {
                while !mode.has_changed()? {
                    std::hint::spin_loop();
                }
            }
            Mode::Noise => {
                let counts = Rc::new(RefCell::new(Answers::default()));
                let mut tasks = JoinSet::new();
                for (part, channel, caller) in &callers {
                    make(*part, channel, caller, &counts, &mut tasks)?;
                }
                mode.changed().await?;
                tasks.shutdown().await;
                let had = *counts.borrow();
                answers.send(had).await?;
            }
            Mode::Over => return Ok(()),
        }
    }
}

fn make(
    part: Part,
    channel: &Channel,
    caller: &Caller,
    counts: &Rc<RefCell<Answers>>,
    tasks: &mut JoinSet<()>,
) -> Result<()> {
    let (tasks_of, keys) = match part {
        Part::Writers => (WRITERS, input::settings(WRITERS)?),
        Part::Lists => (LISTS, Vec::new()),
        Part::Opens => (1, Vec::new()),
    };
    for number in 0..tasks_of {
        let key = keys.get(number).map(|setting| setting.key.to_string()).unwrap_or_default();
        let (channel, caller, counts) = (channel.clone(), caller.clone(), Rc::clone(counts));
        tasks.spawn_local(async move {
            // It never waits for as long as it is told to: only for the answer.
            for turn in 0_u64.. {
                let done = match part {
                    Part::Writers => caller.put(&key, turn.to_string().into()).await.map(drop),
                    Part::Lists => list(&channel, &caller).await,
                    Part::Opens => open(&channel, &caller).await,
                };
                {
                    let mut counts = counts.borrow_mut();
                    let count = if done.is_ok() { &mut counts.done } else { &mut counts.refused };
                    count[part as usize] += 1;
                }
                yield_now().await;
            }
        });
    }
    Ok(())
}

async fn list(channel: &Channel, caller: &Caller) -> Result<()> {
    let request = caller.request(wire::ListRequest::default());
    let mut parts = AdminServiceClient::new(channel.clone()).list(request).await?.into_inner();
    while parts.message().await?.is_some() {}
    Ok(())
}

async fn open(channel: &Channel, caller: &Caller) -> Result<()> {
    let request = caller.request(wire::SubscribeRequest::default());
    let mut frames = ConfigServiceClient::new(channel.clone()).subscribe(request).await?.into_inner();
    frames.message().await?.map(drop).ok_or_else(|| Error::from("a stream without a frame"))
}
