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
#[cfg(feature = "tls")]
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

/// Renewals that a client asks for within any `RENEWALS_WITHIN`, whatever hubs
/// refuse or announce: whoever issues tokens must not pay for a hub whose clock is
/// wrong. Enough for tokens that live as little as a few seconds.
pub(crate) const RENEWALS: usize = 30;

/// See `RENEWALS`. A stream that lived longer says nothing of the next token.
pub(crate) const RENEWALS_WITHIN: Duration = Duration::from_secs(60);

/// How long a hub that has withdrawn the right to listen may take to say why.
pub(crate) const LAST_WORD_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a source may take to hand out a token.
pub(crate) const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Least pause after a request to a source that brought a token: no client has a
/// reason to have two in a second.
pub(crate) const TOKEN_LEAST_PAUSE: Duration = Duration::from_secs(1);

/// First and longest pause between two requests while they fail, whoever asks: a
/// sidecar that is about to start is found soon, an issuer that is down is left
/// alone. These pauses, too, are drawn from the upper half of their bounds.
pub(crate) const TOKEN_PAUSE: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(30);

/// A pause with no more than this left is waited for; else who asks is told how the
/// last request ended.
pub(crate) const TOKEN_PATIENCE: Duration = Duration::from_secs(2);

/// Longest pause while a source answers, but with the token that is about to expire:
/// some have a newer one only seconds before.
pub(crate) const TOKEN_SAME_PAUSE: Duration = Duration::from_secs(2);

/// The share of a token's remaining life after which it is renewed, drawn at random
/// so that a fleet that started together does not ask together.
pub(crate) const TOKEN_SHARE: std::ops::RangeInclusive<f64> = 0.7..=0.9;

/// A token with less than this to live is not renewed ahead: the hub's goodbye is
/// early enough, and a clock that is wrong must not make requests without end.
pub(crate) const TOKEN_SHORT: Duration = Duration::from_secs(5);

/// How long a token is handed out that does not say how long it lives, before the
/// source is asked again.
pub(crate) const TOKEN_UNKNOWN_LIFE: Duration = Duration::from_secs(60);

/// No token is taken to live longer; a clock cannot count much further.
pub(crate) const TOKEN_LONGEST_LIFE: Duration = Duration::from_secs(30 * 24 * 3_600);

/// How often a token file is looked at: it is small and local.
pub(crate) const TOKEN_FILE_INTERVAL: Duration = Duration::from_secs(2);

/// Least pause between two looks, however many clients were refused its token.
pub(crate) const TOKEN_FILE_PAUSE: Duration = Duration::from_millis(250);

/// Most output of a token command, in bytes: the longest token and what JSON adds.
pub(crate) const TOKEN_OUTPUT_BYTES: usize = 8 * 1024;

/// Most of what a command or an issuer says that gets into an error, in characters.
pub(crate) const TOKEN_WORDS: usize = 200;

/// Most that an issuer's answer may have, in bytes: three tokens and some words.
#[cfg(feature = "oauth2")]
pub(crate) const TOKEN_ANSWER_BYTES: usize = 64 * 1024;

/// Most addresses of an issuer's name that are tried for one request, so that one
/// that hangs does not take all of `TOKEN_TIMEOUT`.
#[cfg(feature = "oauth2")]
pub(crate) const TOKEN_ADDRESSES: usize = 3;

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

/// Bound of the pause after a hub has refused a token and the one that was got in its
/// place: the least, from which it doubles. A third is in no hurry.
pub(crate) const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// A stream that lived this long was a success, however long the pauses before
/// it were: they start over.
pub(crate) const LIVED: Duration = Duration::from_secs(1);

/// Longest that a hub can ask a client to keep away from it.
pub(crate) const AWAY: Duration = Duration::from_secs(300);

/// Window of HTTP/2 of the stream of a client alone, in bytes: at a round trip of
/// 50 ms this lets 20 MB/s through, where the default of 64 KiB lets 1.3 MB/s. It also
/// bounds what a hub can push onto a program that is not reading.
pub(crate) const WINDOW_BYTES: u32 = 1024 * 1024;

/// Window of its connection. The HTTP/2 library breaks a connection on which small
/// frames wait to be read: each below 256 bytes counts with what it lacks of them, and
/// half this window is the limit (`data_frame_budget` of `h2`). So it has to be so large
/// that the stream's own window is full before that, and a client that was held up
/// while small updates came reads on: with 8 times as much that is so for frames of
/// 52 bytes and more. The smallest update, which removes one key, has about 56.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 8 * WINDOW_BYTES;

/// HTTP/2 pings notice a dead peer while a hub's heartbeats are set to be rare,
/// and keep the state of middleboxes alive.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(20);

/// How long the answer to a ping may take.
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Most connections of a client alone: one for its stream, one for the stream
/// that takes over from it, and those that are on their way out.
pub(crate) const CONNECTIONS_ALONE: usize = 8;

/// How long a connection gets no new streams on which one fared badly: until its
/// pings have told whether it is dead.
pub(crate) const DOUBT: Duration = Duration::from_secs(30);

/// How long a shared connection gets new streams, a quarter more or less. Streams
/// that hubs end for their age then move to connections, and so to hubs, that
/// came later.
pub(crate) const CONNECTION_AGE: Duration = Duration::from_secs(1_800);

/// Keys that wait for one reader of changes. One that lags further behind gets
/// the difference of two states, which takes no memory while it waits.
pub(crate) const PENDING_KEYS: usize = 4_096;

/// Shortest time between two writes of the state to disk.
pub(crate) const DISK_INTERVAL: Duration = Duration::from_secs(1);

/// A write to disk is followed by a pause of this many times what it took.
pub(crate) const DISK_SHARE: u32 = 20;

/// How long the last write to disk may hold up the end of the task.
pub(crate) const DISK_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Most states that a process writes to disk at a time: each takes a thread, and
/// a pool has a thousand writers.
pub(crate) const DISK_WRITES: usize = 8;

/// Most connections of a pool, unless set otherwise: with `POOL_STREAMS` on each
/// they are enough for `POOL_TENANTS`, and for a quarter of them moving over.
pub(crate) const POOL_CONNECTIONS: usize = 10;

/// Most connections that a pool can be set to have: what leads beyond is a
/// mistake, since a hub takes 1,024 streams on each.
pub(crate) const POOL_CONNECTIONS_MOST: usize = 1_024;

/// Most streams on one connection of a pool, unless set otherwise: as many as the
/// load balancers of AWS take. One connection that breaks takes so many along.
pub(crate) const POOL_STREAMS: usize = 128;

/// Most streams that a pool can be set to have on one connection: what hubs take.
pub(crate) const POOL_STREAMS_MOST: usize = 1_024;

/// Most tenants of a pool, unless set otherwise.
pub(crate) const POOL_TENANTS: usize = 1_000;

/// Bytes of all states of a pool, unless set otherwise: a megabyte for each of
/// `POOL_TENANTS`, which is far more than settings take.
pub(crate) const POOL_BYTES: usize = 1024 * 1024 * 1024;

/// Largest state of one tenant of a pool, in bytes, unless set otherwise: what a
/// hub accepts of one tenant by default.
pub(crate) const POOL_STATE_BYTES: usize = 64 * 1024 * 1024;

/// How long a tenant of a pool may be unused, unless set otherwise: to open it
/// again takes milliseconds, and to keep it a few kilobytes.
pub(crate) const POOL_IDLE: Duration = Duration::from_secs(600);

/// How long a request waits for its tenant's first state, unless set otherwise.
/// Shorter than at a start, since somebody waits for the answer.
pub(crate) const POOL_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the failure to open a tenant is remembered, unless set otherwise: a
/// hub sees one attempt in this time, however many requests there are.
pub(crate) const POOL_REMEMBER: Duration = Duration::from_secs(5);

/// Failures that are remembered at a time, about 300 bytes each.
pub(crate) const POOL_FAILURES: usize = 1_024;

/// Tenants that are being opened at a time; more wait. So a service that starts
/// under load asks neither its hubs nor its source of tokens for all at once.
pub(crate) const POOL_OPENINGS: usize = 64;

/// Bounds of how often a pool looks for idle tenants: a quarter of what is set as
/// idle, so that none stays much longer.
pub(crate) const POOL_UPKEEP: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(50)..=Duration::from_secs(30);

/// How long a connection of a pool is kept that has no stream.
pub(crate) const POOL_LINGER: Duration = Duration::from_secs(30);

/// How long a pool takes the addresses of a name as known: a thousand streams
/// that are lost together ask once.
pub(crate) const POOL_NAMES_FOR: Duration = Duration::from_secs(1);

/// Streams of a pool that were lost come back within this time, at random: a
/// thousand are then one a millisecond to the hub that takes them over.
pub(crate) const POOL_SPREAD: Duration = Duration::from_secs(1);

/// Window of HTTP/2 of one stream of a pool, in bytes: at a round trip of 50 ms this
/// lets 5 MB/s through, for each tenant.
pub(crate) const POOL_WINDOW_BYTES: u32 = 256 * 1024;

/// Window of a connection that they share: the windows of `POOL_STREAMS` together, so
/// that no stream whose task has to wait for a processor holds up others. For the
/// reason at `CONNECTION_WINDOW_BYTES` it also lets half of them be full of frames of
/// 128 bytes at a time, which is what a small update has.
pub(crate) const POOL_CONNECTION_WINDOW_BYTES: u32 = 128 * POOL_WINDOW_BYTES;

/// As long as anyone waits for a tenant; a clock cannot count much further.
pub(crate) const POOL_LONGEST_WAIT: Duration = Duration::from_secs(24 * 3_600);

/// Shortest time between two reports of what was applied: what comes meanwhile is in the
/// next one.
pub(crate) const REPORT_GAP: Duration = Duration::from_millis(50);

/// How long a report that is due lets frames go first that are always there.
pub(crate) const REPORT_PATIENCE: Duration = Duration::from_secs(1);

/// How long a hub may take to answer a report. One that does not is told again later.
pub(crate) const REPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Most reports at once, whatever a hub asks for.
pub(crate) const REPORT_BURST: u32 = 100;

/// Bounds of the time between two reports, whatever a hub asks for.
pub(crate) const REPORT_INTERVAL: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(300);

/// Longest time within which a report is made at random, whatever a hub asks for.
pub(crate) const REPORT_SPREAD: Duration = Duration::from_secs(30);

/// Most problems in a report: as many as hubs take.
pub(crate) const REPORT_PROBLEMS: usize = 16;

/// Longest reason in a report, in bytes: as long as hubs take.
pub(crate) const REPORT_REASON_BYTES: usize = 256;
