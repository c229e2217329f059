//! The table: what it is like, and whether it may be read and written.

use super::calls::{Failed, heard, together};
use super::report::{Finding, State};
use crate::aws::Account;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, DeleteRequest, KeyType, KeysAndAttributes, Put, ScalarAttributeType, StreamViewType,
    TableDescription, TableStatus, TimeToLiveDescription, TimeToLiveStatus, TransactWriteItem, WriteRequest,
};
use futures_util::future::join5;
use std::collections::HashMap;

/// Key of a row that nobody has: tenants' rows begin with `TENANT#`.
const NOBODY: &str = "CHECK";

/// Holds for no row, whatever there is: what is written on this condition is
/// never written.
const NEVER: &str = "attribute_exists(pk) AND attribute_not_exists(pk)";

const MISSING: &str = "make it (infra/stack.yaml does), or name another in `aws.table`";

/// Looks at the table; at its stream only if somebody listens for changes.
pub(super) async fn check(account: &Account, name: &str, listens: bool) -> Vec<Finding> {
    let client = Client::new(account.config());
    let described =
        async { heard("dynamodb:DescribeTable", client.describe_table().table_name(name).send().await) };
    let expiry = async {
        let asked = client.describe_time_to_live().table_name(name).send().await;
        heard("dynamodb:DescribeTimeToLive", asked)
    };
    let writes = async { tokio::join!(write(&client, name), write_many(&client, name)) };
    let (described, expiry, got, listed, (written, many_written)) =
        join5(described, expiry, gets(&client, name), query(&client, name), writes).await;
    let mut found = Vec::new();
    match described.map(|answer| answer.table) {
        // What is denied here may be allowed below.
        Err(failed) if failed.state != State::Missing => found.push(failed.finding("table", MISSING)),
        // Of a table that is not there, or not ours, nothing else is of interest.
        Err(failed) => return vec![failed.finding("table", MISSING)],
        Ok(None) => return vec![Finding::new("table", State::Wrong, format!("`{name}` is not described"))],
        Ok(Some(table)) => {
            let finding = judge(name, &table);
            if finding.state != State::Ok {
                return vec![finding];
            }
            found.push(finding);
            if listens {
                found.push(stream(&table));
            }
        }
    }
    found.push(match expiry {
        Err(failed) => failed.finding("table expiry", MISSING),
        Ok(answer) => judge_expiry(answer.time_to_live_description.as_ref()),
    });
    let (one, many) = got;
    let reads = "consistent reads of one row, of many and of a tenant are allowed";
    found.push(together("table reads", [one, many, listed], MISSING, reads));
    let writes = "conditional writes, and writes of many rows as the history takes them, are allowed";
    found.push(together("table writes", [written, many_written], MISSING, writes));
    found
}

fn judge(name: &str, table: &TableDescription) -> Finding {
    let wrong = |what: String| Finding::new("table", State::Wrong, what);
    let key = |kind: KeyType| {
        let key = table.key_schema().iter().find(|key| key.key_type == kind)?;
        let of = |attribute: &&aws_sdk_dynamodb::types::AttributeDefinition| {
            attribute.attribute_name == key.attribute_name
        };
        let form = &table.attribute_definitions().iter().find(of)?.attribute_type;
        Some((key.attribute_name.clone(), form.clone()))
    };
    let text = |name: &str| Some((name.to_owned(), ScalarAttributeType::S));
    if key(KeyType::Hash) != text("pk") || key(KeyType::Range) != text("sk") {
        return wrong(format!(
            "the key of `{name}` is not `pk` (text) and `sk` (text): it cannot be changed, so name another table \
             in `aws.table`"
        ));
    }
    match &table.table_status {
        Some(TableStatus::Active | TableStatus::Updating) => {
            Finding::ok("table", format!("`{name}` is there, with the key `pk`, `sk`"))
        }
        status => {
            let status = status.as_ref().map_or("unknown", TableStatus::as_str);
            wrong(format!("`{name}` is {status}, not ACTIVE: wait, or look at it in the console"))
        }
    }
}

fn stream(table: &TableDescription) -> Finding {
    let resource = "table stream";
    let view = table.stream_specification.as_ref().filter(|stream| stream.stream_enabled);
    let images = |view: &str| {
        Some(format!(
            "the stream carries whole rows ({view}), so values travel through events: KEYS_ONLY is all that a \
             hub needs"
        ))
    };
    match view.map(|stream| stream.stream_view_type.as_ref()) {
        None => Finding::new(
            resource,
            State::Missing,
            "off: changes that others make in the table are found by sweeps alone; turn it on with KEYS_ONLY",
        ),
        Some(Some(StreamViewType::KeysOnly)) => Finding::ok(resource, "on, with keys alone"),
        Some(view) => {
            let view = view.map_or("of unknown view", StreamViewType::as_str);
            Finding::ok(resource, "on").warn(images(view))
        }
    }
}

fn judge_expiry(expiry: Option<&TimeToLiveDescription>) -> Finding {
    let resource = "table expiry";
    let on = expiry.filter(|expiry| {
        matches!(expiry.time_to_live_status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling))
    });
    let todo = "turn on time to live on `expires`, or what marks deleted entries is never removed";
    match on.map(|expiry| expiry.attribute_name().unwrap_or_default()) {
        Some("expires") => Finding::ok(resource, "rows are removed when `expires` has passed"),
        Some(other) => Finding::new(resource, State::Wrong, format!("rows expire by `{other}`: {todo}")),
        None => Finding::new(resource, State::Missing, format!("off: {todo}")),
    }
}

fn nobody() -> HashMap<String, AttributeValue> {
    ["pk", "sk"].map(|name| (name.to_owned(), AttributeValue::S(NOBODY.to_owned()))).into()
}

async fn gets(client: &Client, name: &str) -> (Result<(), Failed>, Result<(), Failed>) {
    let one = client.get_item().table_name(name).set_key(Some(nobody())).consistent_read(true);
    let keys = KeysAndAttributes::builder().keys(nobody()).consistent_read(true).build();
    let many =
        client.batch_get_item().set_request_items(keys.ok().map(|keys| [(name.to_owned(), keys)].into()));
    let (one, many) = tokio::join!(one.send(), many.send());
    (heard("dynamodb:GetItem", one).map(drop), heard("dynamodb:BatchGetItem", many).map(drop))
}

async fn query(client: &Client, name: &str) -> Result<(), Failed> {
    let query = client.query().table_name(name).key_condition_expression("pk = :pk").consistent_read(true);
    let query = query.expression_attribute_values(":pk", AttributeValue::S(NOBODY.to_owned())).limit(1);
    heard("dynamodb:Query", query.send().await).map(drop)
}

/// Asks for a write whose condition never holds: that it is refused for the
/// condition shows that it is allowed.
async fn write(client: &Client, name: &str) -> Result<(), Failed> {
    let put = Put::builder().table_name(name).set_item(Some(nobody())).condition_expression(NEVER).build();
    let put = put.ok().map(|put| TransactWriteItem::builder().put(put).build());
    let asked = client.transact_write_items().set_transact_items(put.map(|put| vec![put])).send().await;
    match asked {
        Err(error) if refused_for_its_condition(&error) => Ok(()),
        outcome => heard("dynamodb:PutItem", outcome).map(drop),
    }
}

/// Asks for the removal of a row that nobody has, by the call that writes history.
async fn write_many(client: &Client, name: &str) -> Result<(), Failed> {
    let delete = DeleteRequest::builder().set_key(Some(nobody())).build();
    let delete = delete.ok().map(|delete| WriteRequest::builder().delete_request(delete).build());
    let asked =
        client.batch_write_item().set_request_items(delete.map(|one| [(name.to_owned(), vec![one])].into()));
    heard("dynamodb:BatchWriteItem", asked.send().await).map(drop)
}

fn refused_for_its_condition<R>(error: &SdkError<TransactWriteItemsError, R>) -> bool {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => canceled
            .cancellation_reasons()
            .iter()
            .any(|reason| reason.code() == Some("ConditionalCheckFailed")),
        Some(error) => error.code() == Some("ConditionalCheckFailedException"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::types::{AttributeDefinition, KeySchemaElement, StreamSpecification};

    fn described(keys: [(&str, ScalarAttributeType); 2], status: TableStatus) -> TableDescription {
        let mut table = TableDescription::builder().table_status(status);
        for ((name, form), kind) in keys.into_iter().zip([KeyType::Hash, KeyType::Range]) {
            let key = KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
            let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(form);
            table = table.key_schema(key).attribute_definitions(attribute.build().unwrap());
        }
        table.build()
    }

    const RIGHT: [(&str, ScalarAttributeType); 2] =
        [("pk", ScalarAttributeType::S), ("sk", ScalarAttributeType::S)];

    #[test]
    fn a_table_has_our_key_and_is_active() {
        use ScalarAttributeType::{N, S};
        assert_eq!(judge("t", &described(RIGHT, TableStatus::Active)).state, State::Ok);
        assert_eq!(judge("t", &described(RIGHT, TableStatus::Updating)).state, State::Ok);
        assert_eq!(judge("t", &described(RIGHT, TableStatus::Creating)).state, State::Wrong);
        for wrong in [[("pk", S), ("sk", N)], [("id", S), ("sk", S)], [("sk", S), ("pk", S)]] {
            assert_eq!(judge("t", &described(wrong, TableStatus::Active)).state, State::Wrong);
        }
        assert_eq!(judge("t", &TableDescription::builder().build()).state, State::Wrong);
    }

    #[test]
    fn a_stream_with_values_is_warned_of() {
        let with = |view: Option<StreamViewType>, on| {
            let stream = StreamSpecification::builder().stream_enabled(on).set_stream_view_type(view);
            stream_of(Some(stream.build().unwrap()))
        };
        let stream_of_none = stream_of(None);
        assert_eq!(stream_of_none.state, State::Missing);
        assert_eq!(with(Some(StreamViewType::KeysOnly), false).state, State::Missing);
        assert_eq!(
            with(Some(StreamViewType::KeysOnly), true),
            Finding::ok("table stream", "on, with keys alone")
        );
        let images = with(Some(StreamViewType::NewAndOldImages), true);
        assert!(images.state == State::Ok && images.warnings[0].contains("NEW_AND_OLD_IMAGES"), "{images:?}");
    }

    fn stream_of(stream: Option<StreamSpecification>) -> Finding {
        super::stream(&TableDescription::builder().set_stream_specification(stream).build())
    }

    #[test]
    fn rows_expire_by_our_attribute() {
        let with = |status, name: &str| {
            let expiry = TimeToLiveDescription::builder().time_to_live_status(status).attribute_name(name);
            judge_expiry(Some(&expiry.build())).state
        };
        assert_eq!(with(TimeToLiveStatus::Enabled, "expires"), State::Ok);
        assert_eq!(with(TimeToLiveStatus::Enabling, "expires"), State::Ok);
        assert_eq!(with(TimeToLiveStatus::Enabled, "ttl"), State::Wrong);
        assert_eq!(with(TimeToLiveStatus::Disabled, "expires"), State::Missing);
        assert_eq!(judge_expiry(None).state, State::Missing);
    }
}
