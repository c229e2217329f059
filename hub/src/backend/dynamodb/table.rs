//! The table, and the calls that read and write its rows one by one.
//!
//! Reads are strongly consistent, and what they consume is taken from the budget.

use super::KIND;
use super::backoff::Backoff;
use super::item::{Fields, Item, PK, SK, place, text};
use crate::aws::{Budget, Pulse, cause, said};
use crate::backend::closed::Closed;
use crate::backend::{BackendError, Cause, Urgency};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{ConsumedCapacity, KeysAndAttributes, ReturnConsumedCapacity, WriteRequest};
use std::collections::HashMap;
use std::fmt::Debug;

/// Most keys of one `BatchGetItem`.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html>
pub(super) const BATCH_KEYS: usize = 100;

/// Most requests of one `BatchWriteItem`.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>
const BATCH_WRITES: usize = 25;

/// Attempts at what DynamoDB leaves over of a batch, or at a read that meets a
/// write: some 3 s in all.
pub(super) const ATTEMPTS: u32 = 10;

/// Partition and sort key of a row.
pub(super) type Place = (String, String);

/// The table.
pub(super) struct Table {
    pub(super) client: Client,
    pub(super) name: String,
    region: String,
    budget: Budget,
    pub(super) pulse: Pulse,
    closed: Closed,
}

/// Which rows of a partition to read.
pub(super) struct Range<'a> {
    pub(super) pk: &'a str,
    pub(super) keys: Keys,
    pub(super) fields: Fields,
    /// From the last to the first.
    pub(super) backwards: bool,
    /// Rows in a page; `None`: as many as are 1 MB.
    pub(super) page: Option<usize>,
}

/// Sort keys.
pub(super) enum Keys {
    /// Those that begin so.
    From(&'static str),
    /// Those from the one to the other, both included.
    Between(String, String),
}

impl Table {
    pub(super) fn new(client: Client, name: String, capacity: usize) -> Self {
        let region = client.config().region().map_or_else(|| "unknown".to_owned(), ToString::to_string);
        let (budget, pulse) = (Budget::new(capacity), Pulse::new(KIND));
        Self { client, name, region, budget, pulse, closed: Closed::default() }
    }

    pub(super) fn close(&self) {
        self.closed.close();
    }

    /// Whether the table answers.
    pub(super) async fn check(&self) -> Result<(), BackendError> {
        self.open()?;
        // No row has this place; that there is none is an answer.
        self.pulse.check(async { self.get("CHECK", "CHECK", Fields::Read).await.map(|_| ()) }).await
    }

    /// One row.
    pub(super) async fn get(&self, pk: &str, sk: &str, fields: Fields) -> Result<Option<Item>, BackendError> {
        self.open()?;
        let (expression, names) = fields.projection().unzip();
        let call = self
            .client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(place(pk, sk)))
            .consistent_read(true)
            .set_projection_expression(expression)
            .set_expression_attribute_names(names)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let got = self.done(call.send().await)?;
        self.spent(got.consumed_capacity.as_slice(), 0.0);
        Ok(got.item)
    }

    /// The rows at these places that are there, in no order. Nothing isolates the
    /// one from the other.
    pub(super) async fn batch(&self, places: &[Place], fields: Fields) -> Result<Vec<Item>, BackendError> {
        let mut items = Vec::with_capacity(places.len());
        for places in places.chunks(BATCH_KEYS) {
            // One call costs the same either way, and answers are smaller.
            if let [(pk, sk)] = places {
                items.extend(self.get(pk, sk, fields).await?);
                continue;
            }
            let mut left: Vec<Item> = places.iter().map(|(pk, sk)| place(pk, sk)).collect();
            let mut backoff = Backoff::new(ATTEMPTS);
            while !left.is_empty() {
                let before = left.len();
                left = self.batch_once(left, fields, &mut items).await?;
                // What is left over for its size is asked for at once.
                if left.len() == before && !backoff.again().await {
                    return Err(self.throttled("BatchGetItem"));
                }
            }
        }
        Ok(items)
    }

    async fn batch_once(
        &self,
        keys: Vec<Item>,
        fields: Fields,
        items: &mut Vec<Item>,
    ) -> Result<Vec<Item>, BackendError> {
        self.open()?;
        let (expression, names) = fields.projection().unzip();
        let asked = KeysAndAttributes::builder()
            .set_keys(Some(keys))
            .consistent_read(true)
            .set_projection_expression(expression)
            .set_expression_attribute_names(names)
            .build()
            .map_err(|error| self.failed(Cause::Failed, error))?;
        let call = self
            .client
            .batch_get_item()
            .request_items(&self.name, asked)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let got = self.done(call.send().await)?;
        self.spent(got.consumed_capacity(), 0.0);
        // The one table may be answered under another form of its name.
        items.extend(got.responses.unwrap_or_default().into_values().flatten());
        let left = got.unprocessed_keys.unwrap_or_default().into_values();
        Ok(left.flat_map(|left| left.keys).collect())
    }

    /// A page of rows, and where the next one begins.
    pub(super) async fn page(
        &self,
        range: &Range<'_>,
        from: Option<Item>,
        urgency: Urgency,
    ) -> Result<(Vec<Item>, Option<Item>), BackendError> {
        self.open()?;
        // Those who wait for an answer never wait for the budget.
        let taken = if urgency == Urgency::Sweep {
            self.budget.take(urgency).await;
            1.0
        } else {
            0.0
        };
        let (expression, names) = range.fields.projection().unzip();
        let mut names: HashMap<String, String> = names.unwrap_or_default();
        names.extend([PK, SK].map(|name| (format!("#{name}"), name.to_owned())));
        let mut values = HashMap::from([(":pk".to_owned(), text(range.pk))]);
        let condition = match &range.keys {
            Keys::From(start) => {
                values.insert(":start".to_owned(), text(*start));
                "#pk = :pk AND begins_with(#sk, :start)"
            }
            Keys::Between(first, last) => {
                values.insert(":first".to_owned(), text(&**first));
                values.insert(":last".to_owned(), text(&**last));
                "#pk = :pk AND #sk BETWEEN :first AND :last"
            }
        };
        let call = self
            .client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .key_condition_expression(condition)
            .set_projection_expression(expression)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values))
            .scan_index_forward(!range.backwards)
            .set_limit(range.page.map(|page| i32::try_from(page).unwrap_or(i32::MAX)))
            .set_exclusive_start_key(from)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let got = self.done(call.send().await)?;
        self.spent(got.consumed_capacity.as_slice(), taken);
        Ok((got.items.unwrap_or_default(), got.last_evaluated_key.filter(|key| !key.is_empty())))
    }

    /// Writes a row, whatever is there.
    pub(super) async fn put(&self, item: Item) -> Result<(), BackendError> {
        self.open()?;
        let call = self.client.put_item().table_name(&self.name).set_item(Some(item));
        self.done(call.send().await).map(|_| ())
    }

    /// Makes these writes, each for itself.
    pub(super) async fn write_each(&self, writes: Vec<WriteRequest>) -> Result<(), BackendError> {
        for writes in writes.chunks(BATCH_WRITES) {
            let mut left = writes.to_vec();
            let mut backoff = Backoff::new(ATTEMPTS);
            while !left.is_empty() {
                self.open()?;
                let call = self.client.batch_write_item().request_items(&self.name, left);
                let done = self.done(call.send().await)?;
                left = done.unprocessed_items.unwrap_or_default().into_values().flatten().collect();
                if !left.is_empty() && !backoff.again().await {
                    return Err(self.throttled("BatchWriteItem"));
                }
            }
        }
        Ok(())
    }

    pub(super) fn open(&self) -> Result<(), BackendError> {
        self.closed.check(KIND)
    }

    /// Takes note of how a call went.
    pub(super) fn done<T, E, R>(&self, answer: Result<T, SdkError<E, R>>) -> Result<T, BackendError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: Debug + 'static,
    {
        let done = answer.map_err(|error| match cause(&error) {
            Cause::Missing => BackendError::Unavailable {
                kind: KIND,
                cause: Cause::Missing,
                reason: format!(
                    "the table `{}` does not exist in region `{}`: deploy the stack, or set `aws.table`",
                    self.name, self.region
                ),
            },
            cause => self.failed(cause, said(&error)),
        });
        self.pulse.record(&done);
        done
    }

    pub(super) fn spent(&self, consumed: &[ConsumedCapacity], taken: f64) {
        let units: f64 = consumed.iter().filter_map(|consumed| consumed.capacity_units).sum();
        self.budget.spent((units - taken).max(0.0));
    }

    fn throttled(&self, call: &str) -> BackendError {
        self.failed(Cause::Throttled, format!("{call} leaves rows over, again and again"))
    }

    pub(super) fn failed(&self, cause: Cause, reason: impl std::fmt::Display) -> BackendError {
        BackendError::Unavailable { kind: KIND, cause, reason: format!("table `{}`: {reason}", self.name) }
    }
}

impl<'a> Range<'a> {
    /// All rows of a partition whose sort keys begin so, as readings need them.
    pub(super) fn starting_with(pk: &'a str, start: &'static str) -> Self {
        Self { pk, keys: Keys::From(start), fields: Fields::Read, backwards: false, page: None }
    }
}
