//! Feature flags: compiled as the worker applies changes, evaluated in memory.

mod events;

pub use confhub_flags::{
    Context, ContextError, Details, ErrorCode, EvaluationError, Explanation, Fault, Faults, Flag, FlagName,
    FlagSet, FlagValue, FromFlag, HashVersion, Metadata, Reason, Step,
};

pub use events::{FlagEvent, FlagEvents};

use crate::store::{Changed, Lease};
use arc_swap::{ArcSwap, Guard};
use confhub_flags::{Change, Slot};
use confhub_proto::{Entry, State};
use serde_json::Value;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use tokio::sync::watch;

/// The flags of a client's view.
///
/// A flag is compiled when it changes, by the client's own task and before anybody is
/// told of the change; an evaluation is a load of one atomic pointer and a walk over what
/// was compiled, and waits for nothing. Cloning is cheap.
///
/// ```no_run
/// use confhub_client::flags::Context;
///
/// # fn run(client: &confhub_client::Client) {
/// let flags = client.flags();
/// let context = Context::of("user-42").with("country", "de");
/// if flags.boolean("adFailure", false, &context) {
///     // …
/// }
/// let details = flags.boolean_details("adFailure", false, &context);
/// println!("{} because of {}", details.value, details.reason);
/// # }
/// ```
///
/// A flag that somebody has stored badly keeps its last good definition, and all others
/// go on: [`errors`](Self::errors) tells of it, and so does the log. One that was never
/// good gives the default of the code, with the error `PARSE_ERROR`.
#[derive(Clone)]
pub struct Flags {
    lease: Arc<Lease>,
}

macro_rules! typed {
    ($($what:literal, $value:ident, $details:ident, $type:ty;)*) => {$(
        #[doc = concat!("The value of ", $what, " flag; `default` if there is no such flag, if it is disabled \
                         or names no variant, or if something is wrong: see the `_details`.")]
        #[must_use]
        pub fn $value(&self, name: &str, default: impl Into<$type>, context: &Context) -> $type {
            self.load().value(name, default, context, &now)
        }

        #[doc = concat!("The value of ", $what, " flag, with its variant, why it is that, what went wrong if \
                         anything did, and the flag's metadata.")]
        #[must_use]
        pub fn $details(&self, name: &str, default: impl Into<$type>, context: &Context) -> Details<$type> {
            self.load().details(name, default, context, &now)
        }
    )*};
}

impl Flags {
    pub(crate) fn new(lease: Arc<Lease>) -> Self {
        lease.store.flags.activate(|| lease.store.snapshot());
        Self { lease }
    }

    typed! {
        "a boolean", boolean, boolean_details, bool;
        "a text", string, string_details, Arc<str>;
        "a whole-numbered", integer, integer_details, i64;
        "a numeric", float, float_details, f64;
        "an object", object, object_details, Arc<Value>;
    }

    /// The value of a flag of any of these types, with all that there is to know.
    pub fn details<T: FromFlag>(&self, name: &str, default: impl Into<T>, context: &Context) -> Details<T> {
        self.load().details(name, default, context, &now)
    }

    /// How an evaluation comes about: for people, at many times its cost.
    #[must_use]
    pub fn explain(&self, name: &str, context: &Context) -> Explanation {
        self.load().explain(name, context, &now)
    }

    /// All flags at one moment: several evaluations of it are about the same definitions.
    #[must_use]
    pub fn snapshot(&self) -> Arc<FlagSet> {
        self.lease.store.flags.current.load_full()
    }

    /// What is wrong now, of each entry that is bad: what it was before is still in force.
    #[must_use]
    pub fn errors(&self) -> Vec<Arc<Faults>> {
        self.load().errors().cloned().collect()
    }

    /// What happens to the flags: ready, changed, stale, bad, over. It keeps the client
    /// alive.
    #[must_use]
    pub fn events(&self) -> FlagEvents {
        FlagEvents::new(self.clone())
    }

    fn load(&self) -> Guard<Arc<FlagSet>> {
        self.lease.store.flags.current.load()
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = self.load();
        f.debug_struct("Flags")
            .field("flags", &flags.len())
            .field("errors", &flags.errors().count())
            .finish_non_exhaustive()
    }
}

/// Seconds since 1970, for rules with `$flagd.timestamp`.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.ok().and_then(|since| i64::try_from(since.as_secs()).ok()).unwrap_or_default()
}

/// The compiled flags of one client. Nothing is compiled before the program first asks
/// for flags.
#[derive(Debug)]
pub(crate) struct FlagStore {
    hash: HashVersion,
    current: ArcSwap<FlagSet>,
    /// Told of each set after the first.
    changes: watch::Sender<()>,
    active: AtomicBool,
    /// Held by whoever makes the next set.
    writer: Mutex<()>,
}

impl FlagStore {
    pub(crate) fn new(hash: HashVersion) -> Self {
        let current = ArcSwap::from_pointee(FlagSet::new(hash));
        let (changes, active) = (watch::Sender::new(()), AtomicBool::new(false));
        Self { hash, current, changes, active, writer: Mutex::new(()) }
    }

    /// Compiles all flags, if that was not done yet.
    fn activate(&self, state: impl FnOnce() -> Arc<State>) {
        if self.active.load(Ordering::Acquire) {
            return;
        }
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if self.active.load(Ordering::Acquire) {
            return;
        }
        // Read under the lock: what is published later finds the flags active.
        let state = state();
        let mut flags = FlagSet::new(self.hash);
        apply(&mut flags, state.iter().map(|entry| (entry.key().as_str(), Some(&**entry))));
        self.current.store(Arc::new(flags));
        self.active.store(true, Ordering::Release);
    }

    /// The keys of those that are bad, and why, without values.
    pub(crate) fn problems(&self) -> Vec<(String, String)> {
        let current = self.current.load();
        let problem = |faults: &Arc<Faults>| {
            let key = faults.slot.as_ref().map(|slot| slot.key().to_owned())?;
            Some((key, faults.without_values()))
        };
        current.errors().filter_map(problem).collect()
    }

    /// Takes what one commit changed, which can be read already.
    pub(crate) fn follow(&self, state: &State, changed: &Changed) {
        let mut keys = changed.keys.iter().map(|key| key.as_str()).filter(|key| is_flag(key)).peekable();
        if keys.peek().is_none() {
            return;
        }
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.active.load(Ordering::Acquire) {
            return;
        }
        let mut flags = FlagSet::clone(&self.current.load());
        apply(&mut flags, keys.map(|key| (key, state.get(key).map(|entry| &**entry))));
        self.current.store(Arc::new(flags));
        self.changes.send_replace(());
    }
}

fn is_flag(key: &str) -> bool {
    !matches!(Slot::of_key(key), Ok(None))
}

fn apply<'a>(flags: &mut FlagSet, entries: impl Iterator<Item = (&'a str, Option<&'a Entry>)>) {
    for faults in flags.apply(entries.map(|(key, entry)| (key, Change::from(entry)))).bad {
        tracing::warn!(error = faults.without_values(), "a flag is bad, and stays what it was");
    }
}
