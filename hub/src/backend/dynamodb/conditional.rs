//! The calls that hold several rows together, or a row to a condition.

use super::backoff::Backoff;
use super::item::{Fields, Item, PK, VERSION, place};
use super::table::{ATTEMPTS, Place, Table};
use crate::backend::{BackendError, Cause};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_get_items::TransactGetItemsError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, Get, Put, ReturnConsumedCapacity, TransactGetItem, TransactWriteItem,
};
use std::collections::HashMap;

/// Most rows of one isolated read.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactGetItems.html>
const ISOLATED_ROWS: usize = 100;

/// As many rows stay below the 4 MB of one isolated read, if each is as large as
/// can be.
const ISOLATED_LARGE_ROWS: usize = 9;

/// What must be so for a row to be written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Guard {
    /// There is no row.
    Absent,
    /// There is one with this version, as it stands.
    Version(AttributeValue),
    /// There is one, and it has none.
    Unversioned,
}

/// Why nothing was written.
#[derive(Debug)]
pub(super) enum Refused {
    /// Somebody else was faster, or is at it: the row with this index.
    Lost(usize),
    /// It failed, or it is not known how it went.
    Failed(BackendError),
}

/// How an isolated read went.
enum Isolated {
    /// The rows that are there.
    Read(Vec<Item>),
    /// A transaction is in the way.
    Busy,
    /// They are too large to be read as one.
    TooLarge,
}

impl From<BackendError> for Refused {
    fn from(error: BackendError) -> Self {
        Self::Failed(error)
    }
}

impl Table {
    /// Writes a row if what must be so is so.
    pub(super) async fn replace(&self, item: Item, guard: Guard) -> Result<(), Refused> {
        self.open()?;
        let (condition, names, values) = guard.condition();
        let call = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .condition_expression(condition)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(values);
        let put = call.send().await;
        if let Err(SdkError::ServiceError(failed)) = &put
            && matches!(
                failed.err(),
                PutItemError::ConditionalCheckFailedException(_)
                    | PutItemError::TransactionConflictException(_)
            )
        {
            self.pulse.record(&Ok(()));
            return Err(Refused::Lost(0));
        }
        self.done(put)?;
        Ok(())
    }

    /// Writes all rows if what must be so is so for each, or none.
    pub(super) async fn transact(&self, rows: Vec<(Item, Guard)>) -> Result<(), Refused> {
        self.open()?;
        let token = format!("{:032x}", fastrand::u128(..));
        let mut call = self.client.transact_write_items().client_request_token(token);
        for (item, guard) in rows {
            let (condition, names, values) = guard.condition();
            let put = Put::builder()
                .table_name(&self.name)
                .set_item(Some(item))
                .condition_expression(condition)
                .set_expression_attribute_names(Some(names))
                .set_expression_attribute_values(values)
                .build()
                .map_err(|error| self.failed(Cause::Failed, error))?;
            call = call.transact_items(TransactWriteItem::builder().put(put).build());
        }
        let made = call.send().await;
        if let Err(SdkError::ServiceError(failed)) = &made {
            let index = match failed.err() {
                TransactWriteItemsError::TransactionCanceledException(canceled) => {
                    let reasons = canceled.cancellation_reasons();
                    if let Some(throttled) = reasons.iter().find_map(throttled) {
                        let error = self.failed(Cause::Throttled, throttled);
                        self.pulse.record::<()>(&Err(error.clone()));
                        return Err(error.into());
                    }
                    lost(reasons)
                }
                TransactWriteItemsError::TransactionInProgressException(_) => Some(0),
                _ => None,
            };
            if let Some(index) = index {
                self.pulse.record(&Ok(()));
                return Err(Refused::Lost(index));
            }
        }
        self.done(made)?;
        Ok(())
    }

    /// The rows at these places as they are once no transaction is under way that
    /// writes one of them: at one moment, if they are no more than a transaction
    /// can read.
    pub(super) async fn isolated(&self, places: &[Place], fields: Fields) -> Result<Vec<Item>, BackendError> {
        let mut items = Vec::with_capacity(places.len());
        let (mut from, mut most) = (0, ISOLATED_ROWS);
        let mut backoff = Backoff::new(ATTEMPTS);
        while from < places.len() {
            let until = places.len().min(from + most);
            match self.isolated_once(&places[from..until], fields).await? {
                Isolated::Read(read) => {
                    items.extend(read);
                    from = until;
                }
                Isolated::TooLarge => most = ISOLATED_LARGE_ROWS,
                Isolated::Busy if backoff.again().await => {}
                Isolated::Busy => {
                    let reason = "a transaction on rows that are read does not come to its end";
                    return Err(self.failed(Cause::Failed, reason));
                }
            }
        }
        Ok(items)
    }

    async fn isolated_once(&self, places: &[Place], fields: Fields) -> Result<Isolated, BackendError> {
        self.open()?;
        let mut call =
            self.client.transact_get_items().return_consumed_capacity(ReturnConsumedCapacity::Total);
        for (pk, sk) in places {
            let (expression, names) = fields.projection().unzip();
            let get = Get::builder()
                .table_name(&self.name)
                .set_key(Some(place(pk, sk)))
                .set_projection_expression(expression)
                .set_expression_attribute_names(names)
                .build()
                .map_err(|error| self.failed(Cause::Failed, error))?;
            call = call.transact_items(TransactGetItem::builder().get(get).build());
        }
        let got = call.send().await;
        if let Err(SdkError::ServiceError(failed)) = &got {
            // The places are well-formed, so only the size can be invalid.
            let divisible = places.len() > ISOLATED_LARGE_ROWS;
            let refused = match failed.err() {
                TransactGetItemsError::TransactionCanceledException(canceled) => {
                    let reasons = canceled.cancellation_reasons();
                    let invalid = reasons.iter().any(|reason| reason.code() == Some("ValidationError"));
                    let busy = lost(reasons).map(|_| Isolated::Busy);
                    busy.or((divisible && invalid).then_some(Isolated::TooLarge))
                }
                error if error.code() == Some("ValidationException") && divisible => Some(Isolated::TooLarge),
                _ => None,
            };
            if let Some(refused) = refused {
                self.pulse.record(&Ok(()));
                return Ok(refused);
            }
        }
        let got = self.done(got)?;
        self.spent(got.consumed_capacity(), 0.0);
        let rows = got.responses.unwrap_or_default();
        Ok(Isolated::Read(rows.into_iter().filter_map(|row| row.item).collect()))
    }
}

impl Guard {
    /// What must be so for a row to be overwritten that was just read.
    pub(super) fn of(item: Option<&Item>) -> Self {
        match item {
            None => Self::Absent,
            Some(item) => item.get(VERSION).cloned().map_or(Self::Unversioned, Self::Version),
        }
    }

    /// The expression, its names and its values.
    fn condition(self) -> (&'static str, HashMap<String, String>, Option<Item>) {
        let names = |name: &str| HashMap::from([("#name".to_owned(), name.to_owned())]);
        match self {
            Self::Absent => ("attribute_not_exists(#name)", names(PK), None),
            Self::Version(version) => {
                ("#name = :version", names(VERSION), Some(HashMap::from([(":version".to_owned(), version)])))
            }
            Self::Unversioned => {
                let mut names = names(VERSION);
                names.insert("#pk".to_owned(), PK.to_owned());
                ("attribute_exists(#pk) AND attribute_not_exists(#name)", names, None)
            }
        }
    }
}

/// The row for which somebody else was faster, if that is all that is wrong.
fn lost(reasons: &[CancellationReason]) -> Option<usize> {
    reasons
        .iter()
        .position(|reason| matches!(reason.code(), Some("ConditionalCheckFailed" | "TransactionConflict")))
}

fn throttled(reason: &CancellationReason) -> Option<String> {
    let code = reason.code().filter(|code| {
        matches!(*code, "ThrottlingError" | "ProvisionedThroughputExceeded" | "RequestLimitExceeded")
    })?;
    Some(format!("{code}: {}", reason.message().unwrap_or("the transaction was canceled")))
}
