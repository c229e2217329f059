//! A hub as far as one client can tell, that sends as many updates as it is told to.
//! A real one cannot be told: it merges, and each of its writes waits for a disk.

use bytes::Bytes;
use confhub_benches::Result;
use confhub_benches::connection::framed;
use confhub_benches::input::Setting;
use confhub_proto::wire::{self, frame::Kind};
use confhub_proto::{Cursor, State, Update, frame};
use futures_util::future::poll_fn;
use h2::SendStream;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval};

/// One update in so many is of the key that tells when it was sent.
const STAMPED_EVERY: u64 = 16;

/// Updates are sent in ticks of this length, as far as a timer goes.
const TICK: Duration = Duration::from_millis(1);

/// How many updates, and how fast.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// So many a second, for so long.
    Steady { rate: u32, time: Duration },
    /// So many, as fast as they are taken. None tells when it was sent.
    Flat { updates: u32 },
}

/// What was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) updates: u64,
    /// When the first was sent.
    pub(crate) began: Instant,
    /// From the first to the last.
    pub(crate) took: Duration,
    /// Where the client has to be then.
    pub(crate) cursor: Cursor,
}

type Order = (Pace, oneshot::Sender<Sent>);

/// A hub for one client.
pub(crate) struct Feed {
    pub(crate) address: SocketAddr,
    orders: mpsc::Sender<Order>,
}

impl Feed {
    /// A hub that holds these settings. The first one's value is when it was sent, in
    /// nanoseconds since `epoch`. The future has to be run.
    pub(crate) async fn open(
        settings: Vec<Setting>,
        seed: u64,
        epoch: Instant,
    ) -> Result<(Self, impl Future<Output = ()> + Send)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (orders, received) = mpsc::channel(1);
        let state = settings.iter().map(|setting| setting.entry(1)).collect();
        let source = Source { settings, state, rng: fastrand::Rng::with_seed(seed), epoch, made: 0 };
        let serve = async move {
            if let Err(error) = serve(listener, source, received).await {
                eprintln!("the feed ended: {error}");
            }
        };
        Ok((Self { address, orders }, serve))
    }

    /// Sends updates, and waits until they are sent.
    pub(crate) async fn send(&self, pace: Pace) -> Result<Sent> {
        let (done, sent) = oneshot::channel();
        self.orders.send((pace, done)).await.map_err(|_| "the feed is gone")?;
        Ok(sent.await?)
    }
}

/// Makes updates of one entry each.
struct Source {
    settings: Vec<Setting>,
    state: State,
    rng: fastrand::Rng,
    epoch: Instant,
    made: u64,
}

impl Source {
    /// The next one; `stamped`: those of the first key tell that they are sent now.
    fn next(&mut self, stamped: bool) -> Bytes {
        self.made += 1;
        let chosen =
            if self.made.is_multiple_of(STAMPED_EVERY) { 0 } else { self.rng.usize(1..self.settings.len()) };
        let mut setting = self.settings[chosen].clone();
        if chosen == 0 {
            let nanos = if stamped { self.epoch.elapsed().as_nanos() } else { 0 };
            setting.value = nanos.to_string().into();
        }
        let version = self.state.get(setting.key.as_str()).map_or(0, |entry| entry.version());
        self.state.put(setting.entry(version + 1));
        let update = Update::difference([&setting.key], &self.state, SystemTime::now());
        // One entry, so one frame.
        frame::split(&update).iter().map(framed).next().unwrap_or_default()
    }
}

async fn serve(listener: TcpListener, mut source: Source, mut orders: mpsc::Receiver<Order>) -> Result<()> {
    let (tcp, _) = listener.accept().await?;
    tcp.set_nodelay(true)?;
    let mut connection = h2::server::handshake(tcp).await?;
    let (request, mut respond) = connection.accept().await.ok_or("no call came")??;
    // What drives the connection; how it ends shows in the stream.
    tokio::spawn(async move { while let Some(Ok(_)) = connection.accept().await {} });
    let response = http::Response::builder().header("content-type", "application/grpc").body(())?;
    let mut stream = respond.send_response(response, false)?;
    let welcome = wire::Welcome {
        tenant: "shop".to_owned(),
        // Nothing is sent between two orders.
        heartbeat_interval: Some(Duration::from_secs(300).try_into()?),
        ..wire::Welcome::default()
    };
    send(&mut stream, framed(&wire::Frame { kind: Some(Kind::Welcome(welcome)) })).await?;
    for frame in frame::split(&Update::reset(&source.state, SystemTime::now())) {
        send(&mut stream, framed(&frame)).await?;
    }
    while let Some((pace, done)) = orders.recv().await {
        let sent = match pace {
            Pace::Steady { rate, time } => steadily(&mut stream, &mut source, rate, time).await?,
            Pace::Flat { updates } => flat_out(&mut stream, &mut source, updates).await?,
        };
        // An error means that nobody waits.
        let _ = done.send(sent);
    }
    drop(request);
    Ok(())
}

async fn steadily(
    stream: &mut SendStream<Bytes>,
    source: &mut Source,
    rate: u32,
    time: Duration,
) -> Result<Sent> {
    let (began, mut ticks, mut updates) = (Instant::now(), interval(TICK), 0);
    while began.elapsed() < time {
        ticks.tick().await;
        let due = began.elapsed().min(time).as_nanos() * u128::from(rate) / 1_000_000_000;
        while updates < due {
            send(stream, source.next(true)).await?;
            updates += 1;
        }
    }
    let updates = u64::try_from(updates)?;
    Ok(Sent { updates, began, took: began.elapsed(), cursor: source.state.digest() })
}

async fn flat_out(stream: &mut SendStream<Bytes>, source: &mut Source, updates: u32) -> Result<Sent> {
    // Made before, so that making them is not what is waited for.
    let made: Vec<_> = (0..updates).map(|_| source.next(false)).collect();
    let began = Instant::now();
    for update in made {
        send(stream, update).await?;
    }
    Ok(Sent { updates: updates.into(), began, took: began.elapsed(), cursor: source.state.digest() })
}

/// Hands over a message when there is room for it, in the client's window and here.
async fn send(stream: &mut SendStream<Bytes>, mut message: Bytes) -> Result<()> {
    while !message.is_empty() {
        stream.reserve_capacity(message.len());
        while stream.capacity() == 0 {
            poll_fn(|cx| stream.poll_capacity(cx)).await.ok_or("the client is gone")??;
        }
        let part = message.split_to(message.len().min(stream.capacity()));
        stream.send_data(part, false)?;
    }
    Ok(())
}
