//! Limits of the SDK, each with its unit and reason. Those that both ends of
//! the wire share are in `confhub_proto::limits`.

use std::time::Duration;

/// Largest state, in bytes, unless set otherwise: four times what a hub accepts
/// of one tenant by default, so that it only stops what has gone wrong.
pub(crate) const STATE_BYTES: usize = 256 * 1024 * 1024;

/// How long `connect` waits for a first state, unless set otherwise.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long `connect` waits for the hub before it is content with the state
/// from disk, unless set otherwise. A healthy hub answers within milliseconds.
pub(crate) const FALLBACK_AFTER: Duration = Duration::from_secs(1);

/// How long the names of all endpoints may take to resolve.
pub(crate) const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long one address may take to accept a connection, TLS included. Short,
/// since there may be another address.
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a hub that has asked for a client certificate may take to say whether it
/// takes it, or to speak first. Beyond this the connection is used as it is.
pub(crate) const VERDICT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a hub may take from the request to its Welcome. Well below
/// `CONNECT_TIMEOUT`, so that a start gets past a hub that hangs. One that has to
/// load the tenant first goes on doing so, and answers the next attempt.
pub(crate) const WELCOME_TIMEOUT: Duration = Duration::from_secs(3);

/// The next attempt after a stream that worked comes within this time at random,
/// so that all clients of a hub that is gone do not arrive at the next one in
/// the same instant.
pub(crate) const SPREAD: Duration = Duration::from_millis(250);

/// How long an address is left alone that was silent or broke the protocol.
pub(crate) const DISTRUST: Duration = Duration::from_secs(3);

/// Pause between two requests for a token newer than the one about to expire.
pub(crate) const RENEW_INTERVAL: Duration = Duration::from_secs(2);

/// How long a source may take to hand out a token.
pub(crate) const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest file with certificates or a key, in bytes: a bundle of all public CAs has
/// a quarter of it.
pub(crate) const PEM_BYTES: u64 = 1024 * 1024;

/// Most endpoints of one client.
pub(crate) const ENDPOINTS: usize = 32;

/// Most addresses of one name: beyond this, more of them help nobody.
pub(crate) const ADDRESSES_PER_NAME: usize = 64;

/// Silence of this many heartbeat intervals means that the stream is dead: one
/// heartbeat may be late and one lost without it.
pub(crate) const SILENT_HEARTBEATS: u32 = 3;

/// The heartbeat interval if a hub names none, or one outside these bounds.
pub(crate) const HEARTBEAT: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(300);

/// First and longest pause between two attempts to connect.
pub(crate) const BACKOFF: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(50)..=Duration::from_secs(30);

/// A stream that lived this long was a success, however long the pauses before
/// it were: they start over.
pub(crate) const LIVED: Duration = Duration::from_secs(1);

/// Longest that a hub can ask a client to keep away from it.
pub(crate) const AWAY: Duration = Duration::from_secs(300);

/// Window of HTTP/2, in bytes. One stream has a connection of its own, so one
/// figure serves both: at a round trip of 50 ms this lets 20 MB/s through,
/// where the default of 64 KiB lets 1.3 MB/s. It also bounds what a hub can
/// push onto a program that is not reading.
pub(crate) const WINDOW_BYTES: u32 = 1024 * 1024;

/// HTTP/2 pings notice a dead peer while a hub's heartbeats are set to be rare,
/// and keep the state of middleboxes alive.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(20);

/// How long the answer to a ping may take.
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Keys that wait for one reader of changes. One that lags further behind gets
/// the difference of two states, which takes no memory while it waits.
pub(crate) const PENDING_KEYS: usize = 4_096;

/// Shortest time between two writes of the state to disk.
pub(crate) const DISK_INTERVAL: Duration = Duration::from_secs(1);

/// A write to disk is followed by a pause of this many times what it took.
pub(crate) const DISK_SHARE: u32 = 20;

/// How long the last write to disk may hold up the end of the task.
pub(crate) const DISK_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
