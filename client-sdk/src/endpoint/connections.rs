//! Connections to hubs, and who has a stream on which.
//!
//! Every stream holds a [`Connection`], which is a place on one of these. How
//! many places one has is a matter of [`Sharing`]: a client alone has a
//! connection for each of its streams, and the clients of a pool share a few.
//!
//! A stream goes to the fullest connection that has a place, so that there are
//! few, and those that empty are closed. Connections that are dialed at once are
//! one. None is used again once it is gone, and none is dialed twice, so what is
//! counted here is what the hubs count.
//!
//! Sharing has two dangers. A stream that nobody reads fills the window of its
//! whole connection, and a hub breaks such a connection; the worker of every
//! client reads all the time, and does nothing slow in between. And what one
//! stream thinks of its connection, the others have to bear: so a connection is
//! cut only if nothing at all arrives on it. If a single stream fares badly, new
//! ones merely go elsewhere for a while.

use super::channel::open;
use super::link::Link;
use super::{Address, DynDialer, Endpoint, limits};
use std::cmp::Reverse;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};
use tonic::transport::Channel;

/// How connections are shared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sharing {
    /// Most connections at a time.
    pub(crate) connections: usize,
    /// Most streams on one of them.
    pub(crate) streams: usize,
    /// How long one is kept that has no stream.
    pub(crate) linger: Duration,
    /// How long the addresses of a name are taken as known.
    pub(crate) names_for: Duration,
    /// Streams that were lost come back within this time, at random.
    pub(crate) spread: Duration,
    pub(crate) windows: Windows,
}

/// What a hub may send before it is read, in bytes (RFC 9113, 5.2).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Windows {
    /// On one stream.
    pub(crate) stream: u32,
    /// On all of a connection together.
    pub(crate) connection: u32,
}

impl Sharing {
    /// One client, whose streams have a connection each.
    pub(crate) const ALONE: Self = Self {
        connections: limits::CONNECTIONS_ALONE,
        streams: 1,
        linger: Duration::ZERO,
        names_for: Duration::ZERO,
        spread: limits::SPREAD,
        windows: Windows { stream: limits::WINDOW_BYTES, connection: limits::CONNECTION_WINDOW_BYTES },
    };
}

/// All connections that some clients share.
pub(crate) struct Connections {
    pub(super) sharing: Sharing,
    pub(super) dialer: Arc<dyn DynDialer>,
    table: Mutex<Table>,
}

struct Table {
    seats: Vec<Seat>,
    rng: fastrand::Rng,
}

/// One connection, from the first wish to have it.
struct Line {
    address: Address,
    link: Arc<Link>,
    channel: OnceCell<Result<Channel, String>>,
}

/// A connection and how much of it is taken.
struct Seat {
    line: Arc<Line>,
    streams: usize,
    /// When its last stream left.
    emptied: Instant,
    /// No new streams before, unless there is no other place.
    good_from: Instant,
    /// No new streams after, unless there is no other place: hubs that came later
    /// get their share.
    good_until: Instant,
}

/// A place for one stream on a connection. It is given back when this is dropped.
pub(crate) struct Connection {
    place: Place,
    channel: Channel,
}

struct Place {
    of: Arc<Connections>,
    line: Arc<Line>,
}

impl Connections {
    pub(crate) fn new(sharing: Sharing, dialer: Arc<dyn DynDialer>, rng: fastrand::Rng) -> Arc<Self> {
        Arc::new(Self { sharing, dialer, table: Mutex::new(Table { seats: Vec::new(), rng }) })
    }

    /// A place on a connection to `address`, which is dialed if there is none.
    pub(super) async fn connect(self: &Arc<Self>, address: &Address) -> Result<Connection, String> {
        let place = self.take(address)?;
        let line = Arc::clone(&place.line);
        let channel = line.channel.get_or_init(|| self.dial(&line)).await;
        channel.clone().map(|channel| Connection { place, channel })
    }

    /// Connections that are open, and streams that have a place on them.
    pub(crate) fn count(&self) -> (usize, usize) {
        let table = self.lock();
        let here = table.seats.iter().filter(|seat| !seat.line.link.is_gone());
        here.fold((0, 0), |(lines, streams), seat| (lines + 1, streams + seat.streams))
    }

    /// Closes connections that have had no stream for so long.
    pub(crate) fn sweep(&self, linger: Duration) {
        self.lock().sweep(linger);
    }

    /// Puts addresses first whose connections have a place.
    pub(super) fn prefer_open(&self, addresses: &mut [Address]) {
        let (table, now) = (self.lock(), Instant::now());
        let taken = |address: &Address| {
            let seats = table.seats.iter().filter(|seat| seat.is_to(address));
            seats
                .filter(|seat| seat.has_place(&self.sharing) && seat.is_good(now))
                .map(|seat| seat.streams)
                .max()
        };
        addresses.sort_by_cached_key(|address| Reverse(taken(address)));
    }

    fn take(self: &Arc<Self>, address: &Address) -> Result<Place, String> {
        let Sharing { connections, streams, linger, .. } = self.sharing;
        let mut table = self.lock();
        table.sweep(linger);
        let now = Instant::now();
        let chosen = match table.fullest(address, &self.sharing, |seat| seat.is_good(now)) {
            Some(seat) => seat,
            None if table.has_room(connections) => table.add(address),
            None => match table.fullest(address, &self.sharing, |_| true) {
                Some(seat) => seat,
                None => {
                    return Err(format!(
                        "all {connections} connections are in use, or have {streams} streams"
                    ));
                }
            },
        };
        let Some(seat) = table.seats.get_mut(chosen) else {
            return Err("a connection is gone".to_owned());
        };
        seat.streams += 1;
        Ok(Place { of: Arc::clone(self), line: Arc::clone(&seat.line) })
    }

    async fn dial(&self, line: &Line) -> Result<Channel, String> {
        let limit = limits::DIAL_TIMEOUT;
        let dialing = open(&line.address, Arc::clone(&self.dialer), &line.link, self.sharing.windows);
        let channel = match timeout(limit, dialing).await {
            Ok(channel) => channel,
            Err(_) => Err(format!("no answer to the dial within {limit:?}")),
        };
        if channel.is_err() {
            // All who waited for it hear of this; who comes later dials anew.
            line.link.set_gone();
        }
        channel
    }

    fn change(&self, line: &Arc<Line>, change: impl FnOnce(&mut Seat)) {
        if let Some(seat) = self.lock().seats.iter_mut().find(|seat| Arc::ptr_eq(&seat.line, line)) {
            change(seat);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn sweep(&mut self, linger: Duration) {
        let now = Instant::now();
        self.seats.retain(|seat| {
            let kept = seat.streams > 0 || now < seat.emptied + linger;
            kept && !seat.line.link.is_gone()
        });
    }

    /// The fullest connection to `address` with a place.
    fn fullest(&self, address: &Address, sharing: &Sharing, good: impl Fn(&Seat) -> bool) -> Option<usize> {
        let fits = |seat: &Seat| seat.is_to(address) && seat.has_place(sharing) && good(seat);
        let seats = self.seats.iter().enumerate().filter(|(_, seat)| fits(seat));
        seats.max_by_key(|(_, seat)| seat.streams).map(|(index, _)| index)
    }

    /// Whether there may be one more, for which one without streams has to go.
    fn has_room(&mut self, connections: usize) -> bool {
        if self.seats.len() < connections {
            return true;
        }
        let empty = self.seats.iter().position(|seat| seat.streams == 0);
        empty.map(|index| self.seats.swap_remove(index)).is_some()
    }

    fn add(&mut self, address: &Address) -> usize {
        let now = Instant::now();
        let age = limits::CONNECTION_AGE.mul_f64(0.75 + self.rng.f64() / 2.0);
        let line = Line { address: address.clone(), link: Link::new(), channel: OnceCell::new() };
        let line = Arc::new(line);
        self.seats.push(Seat { line, streams: 0, emptied: now, good_from: now, good_until: now + age });
        self.seats.len() - 1
    }
}

impl Seat {
    fn is_to(&self, address: &Address) -> bool {
        let own = &self.line.address;
        own.socket == address.socket && Arc::<Endpoint>::ptr_eq(&own.endpoint, &address.endpoint)
    }

    fn has_place(&self, sharing: &Sharing) -> bool {
        self.streams < sharing.streams && !self.line.link.is_gone()
    }

    fn is_good(&self, now: Instant) -> bool {
        self.good_from <= now && now < self.good_until
    }
}

impl Connection {
    /// Where requests go.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Says that a stream fared badly here: for a while, new ones go to another
    /// connection if they can. A dead one is gone by then, found by its pings.
    pub(crate) fn doubt(&self) {
        let until = Instant::now() + limits::DOUBT;
        self.place.of.change(&self.place.line, |seat| seat.good_from = until);
    }

    /// Says that its streams have reached their age: new ones go to another
    /// connection if they can, and so, behind a balancer, to a hub that came later.
    pub(crate) fn retire(&self) {
        let now = Instant::now();
        self.place.of.change(&self.place.line, |seat| seat.good_until = seat.good_until.min(now));
    }

    /// Says that a stream was silent for so long. If all else on this connection
    /// was silent too, it is dead, and its other streams need not wait to find out.
    pub(crate) fn cut_if_silent(&self, patience: Duration) {
        if self.place.line.link.silent_for() >= patience {
            self.place.line.link.cut();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.of.lock();
        if let Some(seat) = table.seats.iter_mut().find(|seat| Arc::ptr_eq(&seat.line, &self.line)) {
            seat.streams = seat.streams.saturating_sub(1);
            seat.emptied = Instant::now();
        }
        table.sweep(self.of.sharing.linger);
    }
}

#[cfg(test)]
mod tests;
