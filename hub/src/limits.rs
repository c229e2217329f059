//! Limits of the hub, each with its unit and reason. Those that the two ends
//! of the wire share are in `confhub_proto::limits`.

use std::time::Duration;

/// Largest value, in bytes, unless set otherwise. A setting is small; 64 KiB
/// is 16 times Parameter Store's standard tier.
pub const VALUE_BYTES: usize = 64 * 1024;

/// Most entries of one tenant: what a subscriber holds in memory, ten times over.
pub const TENANT_ENTRIES: usize = 100_000;

/// Most bytes of one tenant: what one snapshot costs the hub to encode.
pub const TENANT_BYTES: usize = 64 * 1024 * 1024;

/// Most views of one tenant: each has a ring and frames of its own.
pub const VIEWS_PER_TENANT: usize = 256;

/// Most streams of one tenant: its services times their instances, with room.
pub const STREAMS_PER_TENANT: usize = 20_000;

/// Most streams in all: about 24 kB each at one stream a connection.
pub const STREAMS: usize = 100_000;

/// Most connections in all, for the same reason.
pub const CONNECTIONS: usize = 50_000;

/// New connections a second. Opening one, with its stream and without TLS, takes a
/// core a tenth of a millisecond or two: so the streams that are open have half of one
/// left, and ten thousand clients of a hub that was restarted are back in two seconds.
pub const ACCEPTS_PER_SECOND: usize = 5_000;

/// New connections that may come at once: a stream that runs waits for no more of them
/// in its turn, and a hub that is behind takes fewer. Enough for the pace above, since
/// the clock ticks each millisecond.
pub const BURST_ACCEPTS: usize = 8;

/// Connections that the system holds until the hub takes them: as many as Linux allows
/// by default. One that finds no room tries again a second later, and then after three.
pub const ACCEPT_QUEUE: u32 = 4_096;

/// Most tenants in memory: as many as there are streams, so that only callers
/// that load tenants without following them can reach it.
pub const TENANTS: usize = STREAMS;

/// Longest time that a reader may take for one frame. The largest frame takes a
/// few seconds at 2 Mbit/s; a reader that takes longer than this has stopped.
pub const STALLED: Duration = Duration::from_secs(60);

/// Most single calls under way at a time. Each holds a request of up to 4 MiB or
/// an answer of up to 3 MiB; a disk commits hundreds of writes at once.
pub const CALLS: usize = 512;

/// Most reads of a whole tenant (`List`, `GetSnapshot`) under way at a time: each
/// may hold a copy of it. Apart from the calls above, so that readers never take
/// a writer's place.
pub const BULK_READS: usize = 64;

/// Most single calls of one tenant under way at a time: a quarter of all, so that
/// one tenant never takes every place.
pub const CALLS_PER_TENANT: usize = CALLS / 4;

/// Most reads of a whole tenant under way at a time for one tenant, for the same
/// reason.
pub const BULK_READS_PER_TENANT: usize = BULK_READS / 4;

/// Single calls of one tenant a second: about a tenth of what one core answers. A
/// tenant that reads its configuration by calls rather than by a stream is far below.
pub const CALLS_PER_SECOND: usize = 1_000;

/// Calls of a tenant that may come at once, before others wait for their turn: what
/// they keep a core busy for is what another tenant may notice.
pub const BURST_CALLS: usize = 16;

/// Bytes of entries that a single call reads for which it counts as one more: reading
/// and encoding them takes about as long.
pub const CALL_BYTES: usize = 8 * 1024;

/// Changes of one write for which it counts as one call more, for the same reason.
pub const CALL_CHANGES: usize = 20;

/// Microseconds of checking flags for which a write counts as one call more: at the
/// default pace of calls, a tenant has half of one core for it.
pub const CALL_MICROS: u128 = 500;

/// Longest check of the flags of one write: ten times what ten thousand flags take in a
/// build that is not optimised, and callers wait for ten seconds.
pub const FLAG_CHECK: Duration = Duration::from_secs(5);

/// Calls of one connection that may be refused for what its callers may not do or have
/// had too much of, at once, and a second from then on: more than programs do that wait
/// as they are told, for all tenants of one process.
pub const REFUSED_CALLS: (u32, u32) = (2_048, 64);

/// Bytes a second that one tenant may read by reads of all of it, and at once after a
/// pause: about a hundredth of a core, so that another tenant does not notice at its 99th
/// percentile. Readers beyond that wait.
pub const BULK_BYTES_PER_SECOND: usize = 4 * 1024 * 1024;

/// Bytes that an entry counts for beside its own: reading, ordering and encoding a
/// small one takes about a microsecond.
pub const ENTRY_COST: usize = 512;

/// How much less of that pace a byte costs which is encoded once for all who take it.
pub const SHARED_COST: usize = 8;

/// Streams of one tenant a second that may end within `SHORT_STREAM` of their
/// beginning: all of its clients may come at once, and none may come and go for ever.
pub const OPENS_PER_SECOND: usize = 100;

/// A stream of less than this was not worth its opening.
pub const SHORT_STREAM: Duration = Duration::from_secs(10);

/// Most calls at once on one connection: the streams of a process that serves
/// many tenants, with room.
pub const STREAMS_PER_CONNECTION: usize = 1_024;

/// How long a connection without a call is kept: longer than the pauses of a program
/// that asks now and then, and short enough that those who have gone quiet for good
/// do not add up.
pub const CONNECTION_IDLE: Duration = Duration::from_secs(300);

/// How long a new connection may take to its first call. Who connects has a reason.
pub const FIRST_CALL: Duration = Duration::from_secs(30);

/// Longest time in which one frame of HTTP/2 other than data, or the headers of
/// one call, may arrive: 16 KiB in ten seconds come over any line.
pub const FRAME_TIME: Duration = Duration::from_secs(10);

/// Calls of one connection that may be refused for their token at once, and a second
/// from then on. A pool of tenants whose tokens expire together stays below; each
/// costs at most one check of a signature, some 100 microseconds.
pub const BAD_TOKENS: (u32, u32) = (512, 16);

/// Versions of a key that are kept.
pub const HISTORY_VERSIONS: usize = 100;

/// Revisions that a view's ring remembers: at one change a second, 17 minutes
/// in which a returning subscriber gets the difference rather than a reset.
pub const RING_REVISIONS: usize = 1_024;

/// Keys that a view's ring remembers in all, so that a few huge updates do not
/// make it large.
pub const RING_KEYS: usize = 65_536;

/// Bytes that a view's ring takes at most, long keys counted: what a tenant may cost
/// whose states are small and change much.
pub const RING_BYTES: usize = 4 * 1024 * 1024;

/// Reads of Parameter Store a second, unless set otherwise: AWS throttles at 40
/// for all callers of an account and region together.
/// <https://docs.aws.amazon.com/general/latest/gr/ssm.html>
pub const PARAMETER_READS: usize = 40;

/// Read capacity units a second that sweeps of the table may use, unless set
/// otherwise: a hundred tenants of 4 MB each within the default sweep, and a
/// hundredth of what a table of on-demand capacity takes.
pub const TABLE_CAPACITY: usize = 400;

/// Hints of one tenant that wait to be read, in keys; more become one sweep.
pub const PENDING_HINTS: usize = 4_096;

/// Shortest time between two reads of a whole tenant that a client can cause
/// by sending an unknown cursor.
pub const REREAD_INTERVAL: Duration = Duration::from_secs(1);

/// Largest answer with an issuer's keys, in bytes; real ones have a few KiB.
pub const JWKS_BYTES: usize = 1024 * 1024;

/// Most keys of an issuer; real ones have two to four.
pub const JWKS_KEYS: usize = 64;

/// Longest wait for an issuer's keys, from connecting to the last byte.
pub const JWKS_TIMEOUT: Duration = Duration::from_secs(5);

/// Shortest time between two reads of an issuer's keys that a client can cause
/// by sending a token of an unknown key.
pub const JWKS_REREAD_INTERVAL: Duration = Duration::from_secs(10);

/// Time to the next attempt after an issuer's keys could not be read.
pub const JWKS_RETRY: Duration = Duration::from_secs(15);

/// How long the last good keys are used while the issuer's cannot be read: an
/// outage of the issuer over a night is survived, and a key that it withdrew
/// does not live on for ever.
pub const JWKS_GRACE: Duration = Duration::from_secs(24 * 3_600);

/// Most callers with an unknown key that wait for the issuer's keys; about 1 kB
/// each. More are refused at once.
pub const JWKS_WAITERS: usize = 1_000;

/// Verified tokens that are remembered: about 300 bytes each, and each spares
/// its next call the signature check.
pub const VERIFIED_TOKENS: usize = 10_000;

/// Parts that the remembered tokens are held in, each under a lock of its own:
/// calls on as many cores as hubs run on seldom meet.
pub const VERIFIED_SHARDS: usize = 16;

/// Most issuers whose tokens are accepted. Each has keys in memory and is asked
/// for them again and again; more are a matter for one issuer that brokers them.
pub const ISSUERS: usize = 32;

/// Longest `kid` of a key or a token, in bytes; real ones have about forty.
pub const KEY_ID_BYTES: usize = 256;

/// Deepest nesting of arrays and objects in a token; real ones have three.
pub const TOKEN_DEPTH: usize = 16;

/// Farthest `exp` of a token: what is later is a time in milliseconds or a token
/// for ever, and nobody means either.
pub const TOKEN_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// RSA keys of fewer bits are refused (NIST SP 800-131A), and of more too, since
/// checking their signatures costs too much.
pub const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;

/// Longest `sub` of a token, in bytes: it stands in every history record.
pub const SUBJECT_BYTES: usize = 256;

/// Most revocations of one tenant: enough for every device of a large one that was
/// stolen in a year, and a few hundred kB of memory on each hub.
pub const REVOCATIONS_PER_TENANT: usize = 1_000;

/// Most records of who is let in, of all tenants together. What a tenant may have is
/// set for tenants, and says nothing of these.
pub const RECORDS: usize = 1_000_000;

/// Most bytes of these records: about 600 tenants that have as many and as large ones
/// as they may.
pub const RECORD_BYTES: usize = 1024 * 1024 * 1024;

/// Longest reason that a record of who is let in may have, in bytes.
pub const REASON_BYTES: usize = 256;

/// Size at which an audit file is put aside, in bytes, unless set otherwise: some
/// 200,000 records, which an editor still opens.
pub const AUDIT_BYTES: usize = 100 * 1024 * 1024;

/// Audit files that are kept beside the present one, unless set otherwise: with the
/// size above 1 GB at most.
pub const AUDIT_FILES: usize = 9;

/// Largest configuration file, in bytes.
pub const CONFIG_BYTES: u64 = 1024 * 1024;
