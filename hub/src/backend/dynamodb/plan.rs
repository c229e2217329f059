//! What a change writes over what is there.

use super::applies::{self, SETTLED};
use super::conditional::Guard;
use super::history::{self, FIRST_VERSION};
use super::item::{ITEM_BYTES, Item, size};
use super::row::{self, Found, Mark, Row};
use super::table::Place;
use super::{Dynamo, KIND};
use crate::backend::{Action, Change, WriteError};
use crate::limits::HISTORY_VERSIONS;
use crate::source::Address;
use bytes::Bytes;
use confhub_proto::{Content, TenantId};
use std::time::SystemTime;

/// Who writes, and when.
pub(super) struct Writing<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) author: &'a str,
    pub(super) now: SystemTime,
    /// The Apply that the change is part of.
    pub(super) mark: Option<Mark>,
}

/// What there is of the key of a change.
#[derive(Clone, Copy)]
pub(super) struct Present<'a> {
    /// Its row.
    pub(super) old: Option<&'a Item>,
    /// There is no row, and there is a history.
    pub(super) history: bool,
}

/// A change that has passed every check.
pub(super) struct Planned {
    pub(super) address: Address,
    pub(super) version: u64,
    pub(super) item: Item,
    pub(super) guard: Guard,
    /// The row that it overwrites, for the history.
    pub(super) kept: Option<Item>,
    /// The version that leaves the history for it.
    pub(super) dropped: Option<Place>,
}

impl Dynamo {
    /// Checks a change against the row that is there.
    pub(super) async fn plan(
        &self,
        writing: &Writing<'_>,
        change: &Change,
        Present { old, history }: Present<'_>,
    ) -> Result<Planned, WriteError> {
        let Writing { tenant, author, now, mark } = writing;
        let address = change.address.clone();
        let found = old.map(row::parse);
        let existing = found.as_ref().filter(|found| !found.row.deleted);
        let actual = existing.map_or(0, |found| found.row.version);
        if let Some(expected) = change.expected.filter(|expected| *expected != actual) {
            return Err(WriteError::Conflict { address, expected, actual });
        }
        let (content, deleted) = match &change.action {
            Action::Put(content) => (content.clone(), false),
            Action::Delete => match existing {
                Some(Found { row, .. }) => (Content { value: Bytes::new(), ..row.content.clone() }, true),
                None => return Err(WriteError::NotFound(address)),
            },
            Action::Restore(version) => {
                (self.earlier_content(writing, change, found.as_ref(), *version).await?, false)
            }
        };
        if existing.is_some_and(|found| found.row.content.secret) && !content.secret {
            return Err(WriteError::Exposes(address));
        }
        let last = match &found {
            Some(found) => found.row.version,
            // A tombstone has expired, or somebody has deleted the row by hand.
            None if !history => 0,
            None => self.end_of_history(tenant, &address, true).await?.unwrap_or(0),
        };
        let unfit =
            |reason: String| WriteError::Unfit { address: change.address.clone(), kind: KIND, reason };
        let version = last.checked_add(1).ok_or_else(|| {
            unfit("its version is the highest that there is: set `version` to a lower one by hand".to_owned())
        })?;
        // Whoever has read the row in an older version waits for all of its Apply,
        // and must still know of it.
        let young = |mark: &Mark| applies::is_younger(&mark.id, SETTLED, *now);
        let mark = mark.clone().or_else(|| found.as_ref()?.row.mark.clone().filter(young));
        let (pk, sk) = super::place_of(tenant, &address);
        let row = Row { content, version, modified: *now, author: (*author).to_owned(), deleted, mark };
        let item = row.to_item(&pk, &sk);
        let keep = |item: &Item, version| row::copy(item, &history::sort_key(&address.key, version), version);
        // It must fit where it is, and in the history later.
        let bytes = size(&item).max(size(&keep(&item, version)));
        if bytes > ITEM_BYTES {
            return Err(unfit(format!(
                "with its key and type it would be a row of {bytes} bytes, and DynamoDB takes at most \
                 {ITEM_BYTES}: make it smaller, or keep it in parts"
            )));
        }
        let kept = old.map(|old| keep(old, last)).filter(|kept| {
            let fits = size(kept) <= ITEM_BYTES;
            if !fits {
                self.oddities.note(&pk, &sk, "it is too large for the history, and was overwritten");
            }
            fits
        });
        // The first version stays for good: it tells that there is a history.
        let dropped = version.checked_sub(HISTORY_VERSIONS as u64).filter(|dropped| *dropped > FIRST_VERSION);
        let dropped = dropped.map(|dropped| (pk, history::sort_key(&address.key, dropped)));
        Ok(Planned { guard: Guard::of(old), address, version, item, kept, dropped })
    }

    /// The content to restore.
    async fn earlier_content(
        &self,
        writing: &Writing<'_>,
        change: &Change,
        present: Option<&Found>,
        version: u64,
    ) -> Result<Content, WriteError> {
        let address = change.address.clone();
        let earlier;
        let found = match present.filter(|present| present.row.version == version) {
            Some(present) => Some(present),
            None => {
                earlier = self.kept(writing.tenant, &address, version).await?.as_ref().map(row::parse);
                earlier.as_ref()
            }
        };
        match found {
            Some(found) if found.row.deleted => Err(WriteError::RestoresDeletion { address, version }),
            Some(Found { unfit: Some(reason), .. }) => Err(WriteError::Unfit {
                address,
                kind: KIND,
                reason: format!("version {version} cannot be read: {reason}"),
            }),
            Some(found) => Ok(found.row.content.clone()),
            None => {
                let oldest = self.end_of_history(writing.tenant, &address, false).await?;
                let newest = match present {
                    Some(present) => Some(present.row.version),
                    None => self.end_of_history(writing.tenant, &address, true).await?,
                };
                let kept = match (oldest.or(newest), newest) {
                    (Some(oldest), Some(newest)) => format!("{oldest} to {newest}"),
                    _ => "none".to_owned(),
                };
                Err(WriteError::UnknownVersion { address, version, kept })
            }
        }
    }
}
