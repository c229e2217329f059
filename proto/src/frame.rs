//! How an update travels: cut into frames that stay below message limits, and
//! put together again, visible only once its commit has arrived.

use crate::{Commit, Cursor, CursorError, Digest, Entry, EntryError, Key, NameError, Update, limits, wire};
use prost::Message;
use std::sync::Arc;
use std::time::SystemTime;

/// Bytes that a key or an entry takes in a frame beside its own: tag and length.
const FIELD_OVERHEAD_BYTES: usize = 8;

/// Cuts an update into frames, the last of which has the commit.
#[must_use]
pub fn split(update: &Update) -> Vec<wire::Frame> {
    let mut frames = Vec::new();
    let mut part = wire::Update { reset: update.reset, ..Default::default() };
    let mut part_bytes = 0;
    let mut make_room = |part: &mut wire::Update, bytes: usize| {
        if part_bytes + bytes > limits::FRAME_TARGET_BYTES && part_bytes > 0 {
            frames.push(frame(std::mem::take(part)));
            part_bytes = 0;
        }
        part_bytes += bytes;
    };
    for key in &update.removes {
        make_room(&mut part, key.as_str().len() + FIELD_OVERHEAD_BYTES);
        part.removes.push(key.as_str().to_owned());
    }
    for entry in &update.puts {
        let entry = wire::Entry::from(&**entry);
        make_room(&mut part, entry.encoded_len() + FIELD_OVERHEAD_BYTES);
        part.puts.push(entry);
    }
    part.commit = Some(wire::Commit {
        cursor: update.commit.cursor.to_bytes().to_vec(),
        hub_time: Some(update.commit.hub_time.into()),
        source_time: update.source_time().map(Into::into),
    });
    frames.push(frame(part));
    frames
}

fn frame(update: wire::Update) -> wire::Frame {
    wire::Frame { kind: Some(wire::frame::Kind::Update(update)) }
}

/// Why frames are not an update.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// An entry is malformed.
    #[error("malformed entry: {0}")]
    Entry(#[from] EntryError),
    /// A removed key is malformed.
    #[error("malformed removal: {0}")]
    Remove(#[from] NameError),
    /// The cursor of the commit is malformed.
    #[error("malformed commit: {0}")]
    Cursor(#[from] CursorError),
    /// The commit has no cursor, or a time outside the calendar.
    #[error("malformed commit: no cursor or a time out of range")]
    Commit,
    /// A reset after the first frame of an update.
    #[error("a reset in the middle of an update")]
    LateReset,
    /// The update is larger than the receiver accepts.
    #[error("the update is over the limit of {limit_bytes} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit_bytes: usize,
    },
}

/// Puts frames together to updates.
#[derive(Debug)]
pub struct Assembler {
    parts: Parts,
    limit_bytes: usize,
}

#[derive(Debug, Default)]
struct Parts {
    started: bool,
    reset: bool,
    puts: Vec<Arc<Entry>>,
    removes: Vec<Key>,
    bytes: usize,
}

impl Assembler {
    /// Accepts updates of up to `limit_bytes`.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self { parts: Parts::default(), limit_bytes }
    }

    /// Takes the next frame's part; returns the update if this was its last.
    ///
    /// # Errors
    /// If the part is malformed or the update too large. The stream cannot be
    /// continued then.
    pub fn push(&mut self, part: wire::Update) -> Result<Option<Update>, FrameError> {
        let parts = &mut self.parts;
        if part.reset && parts.started {
            return Err(FrameError::LateReset);
        }
        parts.reset |= part.reset;
        parts.started = true;
        for key in part.removes {
            parts.bytes += key.len();
            parts.removes.push(Key::new(&key)?);
        }
        for entry in part.puts {
            let entry = Entry::try_from(entry)?;
            parts.bytes += entry.size();
            parts.puts.push(Arc::new(entry));
        }
        if parts.bytes > self.limit_bytes {
            return Err(FrameError::TooLarge { limit_bytes: self.limit_bytes });
        }
        let Some(commit) = part.commit else { return Ok(None) };
        let commit = commit_from_wire(commit)?;
        let Parts { reset, puts, removes, .. } = std::mem::take(parts);
        Ok(Some(Update { reset, puts, removes, commit }))
    }
}

fn commit_from_wire(commit: wire::Commit) -> Result<Commit, FrameError> {
    let cursor: Cursor = Digest::from_wire(&commit.cursor)?.ok_or(FrameError::Commit)?;
    let hub_time =
        SystemTime::try_from(commit.hub_time.unwrap_or_default()).map_err(|_| FrameError::Commit)?;
    Ok(Commit { cursor, hub_time })
}
