//! What the hub counts, in the form of Prometheus.
//!
//! No label has a value that a caller can choose, so the number of series is
//! fixed: no tenant, key or service appears here.

mod source;
mod tls;

pub use source::{CauseLabel, MessageLabel, MessageOutcome, SourceMetrics};
pub use tls::TlsMetrics;

use crate::backend::{BackendError, Cause};
use crate::tenant::Change;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::fmt::{self, Write as _};
use std::sync::atomic::AtomicU64;

/// A counter for each value of one label.
pub type Labelled<L> = Family<L, Counter>;

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EndLabel {
    /// The reason.
    pub reason: EndReason,
}

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The subscriber left.
    Left,
    /// The hub is shutting down.
    Drain,
    /// Its token expired.
    Expired,
    /// The tenant is over its limits.
    TooLarge,
    /// It was too old.
    Age,
    /// Its right to listen was withdrawn.
    Withdrawn,
    /// It was not read.
    Stalled,
}

/// How something went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabel {
    /// The outcome.
    pub outcome: Outcome,
}

/// How something went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was refused, for what the caller asked.
    Refused,
    /// It failed, for what the hub or a store could not do.
    Failed,
}

/// A read of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReadLabel {
    /// Which kind of backend.
    pub backend: &'static str,
    /// What for.
    pub purpose: Purpose,
    /// The outcome.
    pub outcome: Outcome,
}

/// What a backend is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// To load a tenant, or one service of it.
    Load,
    /// Because a hint came.
    Hint,
    /// To find what no hint had told.
    Sweep,
    /// For a single read of a caller.
    Get,
}

/// A read that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FailureLabel {
    /// Which kind of backend.
    pub backend: &'static str,
    /// Why.
    pub cause: Cause,
}

/// One kind of backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BackendLabel {
    /// Which kind.
    pub backend: &'static str,
}

/// A change that no hint had told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DriftLabel {
    /// Which kind of backend.
    pub backend: &'static str,
    /// What had changed.
    pub change: Change,
    /// Why no hint had come, as far as it is known.
    pub cause: DriftCause,
}

/// Why no hint had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DriftCause {
    /// Nothing sends hints for this backend, but the hub for its own writes.
    NoSource,
    /// The source was down for a while since the last reading.
    SourceDown,
    /// The hint was lost, or is late.
    HintLost,
}

/// How many changes no hint had told of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drift {
    /// Entries that are new.
    pub created: usize,
    /// Entries that differ.
    pub updated: usize,
    /// Entries that are gone.
    pub deleted: usize,
}

impl Drift {
    /// Counts one.
    pub fn add(&mut self, change: Change) {
        *match change {
            Change::Created => &mut self.created,
            Change::Updated => &mut self.updated,
            Change::Deleted => &mut self.deleted,
        } += 1;
    }
}

/// Label values: each variant by its name in lower case.
macro_rules! words {
    ($($type:ident { $($variant:ident => $word:literal),+ $(,)? })+) => {$(
        impl $type {
            const ALL: &[Self] = &[$(Self::$variant),+];
        }

        impl EncodeLabelValue for $type {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
                encoder.write_str(match self {
                    $(Self::$variant => $word),+
                })
            }
        }
    )+};
}

words! {
    EndReason { Left => "left", Drain => "drain", Expired => "expired", TooLarge => "too-large", Age => "age", Withdrawn => "withdrawn", Stalled => "stalled" }
    Outcome { Done => "done", Refused => "refused", Failed => "failed" }
    Purpose { Load => "load", Hint => "hint", Sweep => "sweep", Get => "get" }
    Change { Created => "created", Updated => "updated", Deleted => "deleted" }
    DriftCause { NoSource => "no-source", SourceDown => "source-down", HintLost => "hint-lost" }
    MessageOutcome { Applied => "applied", Ignored => "ignored", Poison => "poison" }
    Cause {
        Throttled => "throttled",
        Denied => "denied",
        Missing => "missing",
        Timeout => "timeout",
        Unreachable => "unreachable",
        Failed => "failed",
    }
}

/// Why a call was refused before it was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusalLabel {
    /// The reason, one of a fixed set.
    pub reason: &'static str,
}

/// A limit that was reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LimitLabel {
    /// Its setting, one of a fixed set.
    pub limit: &'static str,
}

/// All that is counted. Cheap to share: each metric is.
pub struct Metrics {
    registry: Registry,
    /// Streams now open.
    pub streams: Gauge,
    /// Connections now open on the gRPC port.
    pub connections: Gauge,
    /// Tenants now in memory.
    pub tenants: Gauge,
    /// Entries now in memory.
    pub entries: Gauge,
    /// Frames handed to connections, updates only.
    pub frames: Counter,
    /// Bytes of those frames.
    pub frame_bytes: Counter,
    /// Streams that ended, by reason.
    pub stream_ends: Labelled<EndLabel>,
    /// Reports of what instances have applied.
    pub reports: Counter,
    /// Updates published to views.
    pub updates: Counter,
    /// Updates encoded, each for all who take it.
    pub encodings: Counter,
    /// Entries of flags that were bad when they were to be sent to flagd's providers.
    pub bad_flags: Counter,
    /// Hints received.
    pub hints: Counter,
    /// Reads of backends.
    pub backend_reads: Labelled<ReadLabel>,
    /// Those that failed, by cause.
    pub backend_failures: Labelled<FailureLabel>,
    /// Whether the last read of a backend succeeded.
    pub backend_up: Family<BackendLabel, Gauge>,
    /// Entries that a reading found changed without a hint.
    pub drift: Labelled<DriftLabel>,
    /// Rows and parameters read that no hub has written as they are, and that were
    /// left out or read as well as can be, by backend.
    pub odd_rows: Labelled<BackendLabel>,
    /// Writes, by outcome.
    pub writes: Labelled<OutcomeLabel>,
    /// Requests to evaluate flags over HTTP, by outcome.
    pub evaluations: Labelled<OutcomeLabel>,
    /// Calls refused for want of identity or role, by reason.
    pub refusals: Labelled<RefusalLabel>,
    /// Calls and streams refused for a limit, by its setting.
    pub limited: Labelled<LimitLabel>,
    /// Connections broken for what their peer did, by what it was.
    pub broken: Labelled<RefusalLabel>,
    /// Records of the audit log that were written.
    pub audit_records: Counter,
    /// Records that were left out: too many at once, or the log could not be written.
    pub audit_dropped: Counter,
    /// Attempts to write the audit log that failed.
    pub audit_failures: Counter,
    /// Time from the write of a change, by the clock of its backend, to its
    /// publication to the views.
    pub publish_delay: Histogram,
    /// Of the change source.
    pub source: SourceMetrics,
    /// Of TLS.
    pub tls: TlsMetrics,
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new(version: &'static str) -> Self {
        let mut registry = Registry::with_prefix("confhub");
        let build = Gauge::<i64>::default();
        build.set(1);
        registry.sub_registry_with_label(("version".into(), version.into())).register(
            "build_info",
            "The version that is running",
            build,
        );
        let start = Gauge::<f64, AtomicU64>::default();
        start.set(unix_seconds());
        let about = "When the hub started, in seconds since the Unix epoch";
        registry.register("start_time_seconds", about, start);
        let mut metrics = Self {
            registry,
            streams: Gauge::default(),
            connections: Gauge::default(),
            tenants: Gauge::default(),
            entries: Gauge::default(),
            frames: Counter::default(),
            frame_bytes: Counter::default(),
            stream_ends: Family::default(),
            reports: Counter::default(),
            updates: Counter::default(),
            encodings: Counter::default(),
            bad_flags: Counter::default(),
            hints: Counter::default(),
            backend_reads: Family::default(),
            backend_failures: Family::default(),
            backend_up: Family::default(),
            drift: Family::default(),
            odd_rows: Family::default(),
            writes: Family::default(),
            evaluations: Family::default(),
            refusals: Family::default(),
            limited: Family::default(),
            broken: Family::default(),
            audit_records: Counter::default(),
            audit_dropped: Counter::default(),
            audit_failures: Counter::default(),
            // 100 microseconds to 26 seconds.
            publish_delay: Histogram::new(exponential_buckets(0.0001, 4.0, 10)),
            source: SourceMetrics::new(),
            tls: TlsMetrics::new(),
        };
        metrics.register();
        metrics.source.register(&mut metrics.registry);
        metrics.tls.register(&mut metrics.registry);
        metrics.start_at_zero();
        metrics
    }

    /// Makes the series whose labels are known, so that a rate sees their first step.
    fn start_at_zero(&self) {
        for outcome in Outcome::ALL.iter().copied() {
            let _ = self.writes.get_or_create(&OutcomeLabel { outcome });
            let _ = self.evaluations.get_or_create(&OutcomeLabel { outcome });
        }
        for reason in EndReason::ALL.iter().copied() {
            let _ = self.stream_ends.get_or_create(&EndLabel { reason });
        }
    }

    /// Makes the series of a backend, so that a rate sees their first step.
    pub fn expect_backend(&self, backend: &'static str) {
        for purpose in Purpose::ALL.iter().copied() {
            for outcome in [Outcome::Done, Outcome::Failed] {
                let _ = self.backend_reads.get_or_create(&ReadLabel { backend, purpose, outcome });
            }
        }
        for cause in Cause::ALL.iter().copied() {
            let _ = self.backend_failures.get_or_create(&FailureLabel { backend, cause });
        }
        for change in Change::ALL.iter().copied() {
            for cause in DriftCause::ALL.iter().copied() {
                let _ = self.drift.get_or_create(&DriftLabel { backend, change, cause });
            }
        }
        self.backend_up.get_or_create(&BackendLabel { backend }).set(1);
        let _ = self.odd_rows.get_or_create(&BackendLabel { backend });
    }

    /// Counts a read of a backend, and how it ended.
    pub fn read(&self, backend: &'static str, purpose: Purpose, failed: Option<&BackendError>) {
        let outcome = if failed.is_some() { Outcome::Failed } else { Outcome::Done };
        self.backend_reads.get_or_create(&ReadLabel { backend, purpose, outcome }).inc();
        self.backend_up.get_or_create(&BackendLabel { backend }).set(i64::from(failed.is_none()));
        if let Some(error) = failed {
            self.backend_failures.get_or_create(&FailureLabel { backend, cause: error.cause() }).inc();
        }
    }

    /// Counts changes that no hint had told of.
    pub fn drifted(&self, backend: &'static str, drift: &Drift, cause: DriftCause) {
        let Drift { created, updated, deleted } = *drift;
        let counts = [(Change::Created, created), (Change::Updated, updated), (Change::Deleted, deleted)];
        for (change, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            self.drift.get_or_create(&DriftLabel { backend, change, cause }).inc_by(count as u64);
        }
    }

    fn register(&mut self) {
        let Self { registry: r, .. } = self;
        r.register("streams", "Streams now open", self.streams.clone());
        r.register("connections", "Connections now open on the gRPC port", self.connections.clone());
        r.register("tenants", "Tenants now in memory", self.tenants.clone());
        r.register("entries", "Entries of all tenants now in memory", self.entries.clone());
        r.register("frames", "Frames of updates handed to connections", self.frames.clone());
        let about = "Size of the frames of updates handed to connections";
        r.register_with_unit("frames", about, Unit::Bytes, self.frame_bytes.clone());
        r.register("stream_ends", "Streams that ended, by reason", self.stream_ends.clone());
        let about = "Reports of instances of what they have applied";
        r.register("reports", about, self.reports.clone());
        r.register("updates", "Updates published to views", self.updates.clone());
        let about = "Updates encoded, each once for all who stand at the same place";
        r.register("encodings", about, self.encodings.clone());
        let about =
            "Entries of flags that providers of flagd are sent as they were, or not at all: they are bad";
        r.register("bad_flags", about, self.bad_flags.clone());
        r.register("hints", "Hints received from change sources", self.hints.clone());
        let about = "Reads of backends, by what for and by outcome";
        r.register("backend_reads", about, self.backend_reads.clone());
        let about = "Reads of backends that failed, by cause";
        r.register("backend_failures", about, self.backend_failures.clone());
        let about = "Whether the last read of a backend succeeded (1) or not (0)";
        r.register("backend_up", about, self.backend_up.clone());
        let about = "Entries that a reading of everything found changed although no hint had come yet";
        r.register("drift_entries", about, self.drift.clone());
        let about =
            "Entries read that were changed by hand and left out, or read as well as can be, by backend";
        r.register("odd_rows", about, self.odd_rows.clone());
        r.register("writes", "Writes, by outcome", self.writes.clone());
        let about = "Requests to evaluate flags over HTTP, by outcome";
        r.register("evaluations", about, self.evaluations.clone());
        let about = "Calls refused for want of a valid token or of a role, by reason";
        r.register("refusals", about, self.refusals.clone());
        let about = "Calls and streams refused for a limit, by the setting that names it";
        r.register("limited", about, self.limited.clone());
        let about = "Connections broken for what their peer did, by what it was";
        r.register("broken_connections", about, self.broken.clone());
        let about = "Records of the audit log that were written";
        r.register("audit_records", about, self.audit_records.clone());
        let about = "Records that were left out: too many at once, or the log could not be written";
        r.register("audit_dropped", about, self.audit_dropped.clone());
        let about = "Attempts to write the audit log that failed";
        r.register("audit_failures", about, self.audit_failures.clone());
        let about = "Time from the write of a change, by the clock of its backend, to its publication";
        r.register_with_unit("publish_delay", about, Unit::Seconds, self.publish_delay.clone());
    }

    /// The text form (`OpenMetrics` 1.0).
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn unix_seconds() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}
