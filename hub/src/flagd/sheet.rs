//! One document, made once for all who follow the same flags.

use crate::fanout::message;
use bytes::Bytes;
use confhub_flags::{Faults, Served};
use confhub_proto::{State, flagd};
use prometheus_client::metrics::counter::Counter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

/// Up to this size, in bytes, a document is kept as it is sent for as long as somebody
/// follows it. A larger one is kept while somebody is sending it, so that a storm of
/// newcomers shares it and no copy stays behind.
const KEPT_BYTES: usize = 64 * 1024;

/// What all are sent who ask for the same flags.
pub(crate) struct Sheet {
    page: Mutex<Page>,
    /// Whether there was a first state.
    is_written: AtomicBool,
    /// Told of what is bad, each time that something is.
    on_bad: Box<OnBad>,
}

/// Hears which entries are bad.
type OnBad = dyn Fn(&[Faults]) + Send + Sync;

/// What is sent now; whoever holds it sees no other.
pub(crate) struct Page {
    served: Served,
    /// Counts what was served so far, from 1.
    edition: u64,
    encoded: Encoded,
    /// Counts each time that it is encoded.
    encodings: Counter,
}

enum Encoded {
    No,
    Kept(Bytes),
    Passing(Weak<Bytes>),
}

/// The definitions do not fit into one message.
#[derive(Debug, thiserror::Error)]
#[error(
    "the flag definitions have {bytes} bytes as one document, and clients of flagd take {}: narrow them with the \
     selector `prefix=TEXT`, or remove flags that nobody needs",
    flagd::MESSAGE_BYTES
)]
pub(crate) struct TooLarge {
    bytes: usize,
}

impl Sheet {
    /// Of flags whose names begin with `names`: none yet. What is encoded is counted.
    pub(crate) fn new(
        names: &str,
        encodings: Counter,
        on_bad: impl Fn(&[Faults]) + Send + Sync + 'static,
    ) -> Self {
        let page = Page { served: Served::new(names), edition: 1, encoded: Encoded::No, encodings };
        Self { page: Mutex::new(page), is_written: AtomicBool::new(false), on_bad: Box::new(on_bad) }
    }

    /// The page. Whoever brings a state gets it under this lock, so that no state comes
    /// before one that is older.
    pub(crate) fn open(&self) -> MutexGuard<'_, Page> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there was a first state: what comes later is small.
    pub(crate) fn is_written(&self) -> bool {
        self.is_written.load(Ordering::Acquire)
    }

    /// Takes the first state, unless somebody else was faster, and tells how many bytes
    /// of entries were looked at. It may take some hundredths of a second.
    pub(crate) fn write<E>(
        &self,
        mut state: impl FnMut(&mut Context<'_>) -> Poll<Result<State, E>>,
    ) -> usize {
        let mut page = self.open();
        let is_first = !self.is_written();
        match state(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(state)) => {
                self.update(&mut page, &state);
                if is_first { state.bytes() } else { 0 }
            }
            // Whoever follows it sees it.
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        }
    }

    /// Brings a page up to date.
    pub(crate) fn update(&self, page: &mut Page, state: &State) {
        let news = page.served.update(state);
        self.is_written.store(true, Ordering::Release);
        if !news.bad.is_empty() {
            (self.on_bad)(&news.bad);
        }
        if news.changed {
            page.edition += 1;
            page.encoded = Encoded::No;
        }
    }
}

impl Page {
    /// Which one it is: another number, another document.
    pub(crate) fn edition(&self) -> u64 {
        self.edition
    }

    /// The document as one message, ready to be written: a `SyncFlagsResponse`, and a
    /// `FetchAllFlagsResponse` as well, which are the same bytes.
    ///
    /// # Errors
    /// If clients would not take it.
    pub(crate) fn message(&mut self) -> Result<Bytes, TooLarge> {
        match &self.encoded {
            Encoded::Kept(message) => return Ok(message.clone()),
            Encoded::Passing(message) => {
                if let Some(message) = message.upgrade() {
                    return Ok(Bytes::from_owner(Shared(message)));
                }
            }
            Encoded::No => {}
        }
        // The tag and the length that protobuf puts in front of it.
        let most = flagd::MESSAGE_BYTES - 8;
        let flag_configuration =
            self.served.document(most).map_err(|error| TooLarge { bytes: error.bytes })?;
        self.encodings.inc();
        let encoded = message(&flagd::FetchAllFlagsResponse { flag_configuration });
        if encoded.len() <= KEPT_BYTES {
            self.encoded = Encoded::Kept(encoded.clone());
            return Ok(encoded);
        }
        let shared = Arc::new(encoded);
        self.encoded = Encoded::Passing(Arc::downgrade(&shared));
        Ok(Bytes::from_owner(Shared(shared)))
    }
}

/// Bytes of which it is known whether anybody has them.
struct Shared(Arc<Bytes>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use confhub_flags::{FLAG_TYPE, FlagName};
    use confhub_proto::{Content, Entry};
    use prost::Message as _;
    use std::sync::atomic::AtomicUsize;
    use std::time::SystemTime;

    fn flag(name: &str, value: &str) -> Arc<Entry> {
        let content = Content::new(value.to_owned().into(), FLAG_TYPE, false, usize::MAX).unwrap();
        let key = FlagName::new(name).unwrap().key().clone();
        Arc::new(Entry::new(key, None, content, 1, SystemTime::UNIX_EPOCH))
    }

    fn good(bytes: usize) -> String {
        let text = "x".repeat(bytes);
        format!(r#"{{"state":"ENABLED","variants":{{"a":"{text}"}},"defaultVariant":"a"}}"#)
    }

    #[test]
    fn a_page_is_encoded_once_while_it_is_the_same() {
        let sheet = Sheet::new("", Counter::default(), |_| {});
        let mut page = sheet.open();
        for (bytes, is_kept) in [(10, true), (100_000, false)] {
            sheet.update(&mut page, &State::from_iter([flag("a", &good(bytes))]));
            let (first, again) = (page.message().unwrap(), page.message().unwrap());
            assert_eq!(first.as_ptr(), again.as_ptr());
            drop((first, again));
            assert_eq!(is_kept, !matches!(&page.encoded, Encoded::Passing(gone) if gone.upgrade().is_none()));
            let message = flagd::SyncFlagsResponse::decode(&page.message().unwrap()[5..]).unwrap();
            assert!(
                message.flag_configuration.contains(&"x".repeat(bytes)) && message.sync_context.is_none()
            );
        }
    }

    #[test]
    fn an_edition_is_a_document_and_bad_flags_are_told() {
        let told = Arc::new(AtomicUsize::new(0));
        let sheet = Sheet::new("", Counter::default(), {
            let told = Arc::clone(&told);
            move |bad| {
                told.fetch_add(bad.len(), Ordering::Relaxed);
            }
        });
        let mut page = sheet.open();
        let first = page.edition();
        sheet.update(&mut page, &State::from_iter([flag("a", "{")]));
        assert_eq!((page.edition(), told.load(Ordering::Relaxed)), (first, 1));
        sheet.update(&mut page, &State::from_iter([flag("a", &good(1))]));
        assert_ne!(page.edition(), first);
    }

    #[test]
    fn what_clients_would_not_take_is_refused_with_its_size() {
        let sheet = Sheet::new("", Counter::default(), |_| {});
        let mut page = sheet.open();
        let flags = (0..3).map(|n| flag(&format!("f{n}"), &good(1_400_000)));
        sheet.update(&mut page, &flags.collect());
        let refused = page.message().unwrap_err().to_string();
        assert!(refused.contains("have 4200") && refused.contains("`prefix=TEXT`"), "{refused}");
    }
}
