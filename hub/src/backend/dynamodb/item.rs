//! The attributes of the table's rows, how they are asked for, and how large
//! DynamoDB finds them.

use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::HashMap;
use std::sync::LazyLock;

/// A row as DynamoDB has it.
pub(super) type Item = HashMap<String, AttributeValue>;

pub(super) const PK: &str = "pk";
pub(super) const SK: &str = "sk";
/// The value, unless it is a secret.
pub(super) const VALUE: &str = "value";
/// The value of a secret: apart, so that no reading of many rows asks for it.
pub(super) const SECRET_VALUE: &str = "secret_value";
pub(super) const CONTENT_TYPE: &str = "content_type";
pub(super) const SECRET: &str = "secret";
pub(super) const VERSION: &str = "version";
/// RFC 3339, to the nanosecond: the time is part of an entry's digest.
pub(super) const MODIFIED: &str = "modified";
pub(super) const AUTHOR: &str = "author";
/// The row is a tombstone.
pub(super) const DELETED: &str = "deleted";
/// When DynamoDB may remove the row, in seconds since the Unix epoch.
pub(super) const EXPIRES: &str = "expires";
/// Which Apply of several changes wrote the row.
pub(super) const APPLY: &str = "apply";
/// How many changes that Apply had.
pub(super) const APPLY_SIZE: &str = "apply_size";
/// In the row of an Apply: what it wrote.
pub(super) const MEMBERS: &str = "members";

/// What a reading needs of an entry's row: all but the value of a secret.
const READ: [&str; 12] =
    [PK, SK, VALUE, CONTENT_TYPE, SECRET, VERSION, MODIFIED, AUTHOR, DELETED, EXPIRES, APPLY, APPLY_SIZE];

/// Whether this backend writes such an attribute in an entry's row. Others are
/// somebody else's.
pub(super) fn is_ours(name: &str) -> bool {
    name == SECRET_VALUE || READ.contains(&name)
}

/// Largest row, in bytes: names and values of all attributes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
pub(super) const ITEM_BYTES: usize = 400 * 1024;

/// Largest transaction, in bytes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
pub(super) const TRANSACTION_BYTES: usize = 4 * 1024 * 1024;

/// What to fetch of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fields {
    /// What a reading needs; no secret.
    Read,
    /// Everything.
    All,
}

/// A projection: the expression and the names that it stands on. The names of our
/// attributes are words of DynamoDB's own in part (`value`).
type Projection = (String, HashMap<String, String>);

impl Fields {
    pub(super) fn projection(self) -> Option<Projection> {
        static READING: LazyLock<Projection> = LazyLock::new(|| {
            let expression: Vec<_> = READ.iter().map(|name| format!("#{name}")).collect();
            let names = READ.iter().map(|name| (format!("#{name}"), (*name).to_owned()));
            (expression.join(", "), names.collect())
        });
        match self {
            Self::Read => Some(READING.clone()),
            Self::All => None,
        }
    }
}

pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(super) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// A row that is nothing yet but its place.
pub(super) fn place(pk: &str, sk: &str) -> Item {
    HashMap::from([(PK.to_owned(), text(pk)), (SK.to_owned(), text(sk))])
}

/// Partition and sort key of a row.
pub(super) fn place_in(item: &Item) -> Option<(String, String)> {
    Some((text_of(item, PK)?.to_owned(), text_of(item, SK)?.to_owned()))
}

/// An attribute that is text.
pub(super) fn text_of<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

/// An attribute that is a whole number, written as one or as text.
pub(super) fn number_of(item: &Item, name: &str) -> Option<u64> {
    match item.get(name)? {
        AttributeValue::N(digits) | AttributeValue::S(digits) => digits.trim().parse().ok(),
        _ => None,
    }
}

/// The size of a row as DynamoDB counts it, in bytes; never too small.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>
pub(super) fn size(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value_size(value)).sum()
}

fn value_size(value: &AttributeValue) -> usize {
    // A list or map has 3 bytes of its own and 1 for each element.
    const NEST: usize = 3;
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(digits) => number_size(digits),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::Ss(texts) => texts.iter().map(String::len).sum(),
        AttributeValue::Ns(numbers) => numbers.iter().map(|digits| number_size(digits)).sum(),
        AttributeValue::Bs(blobs) => blobs.iter().map(|bytes| bytes.as_ref().len()).sum(),
        AttributeValue::L(list) => NEST + list.iter().map(|value| 1 + value_size(value)).sum::<usize>(),
        AttributeValue::M(map) => {
            NEST + map.iter().map(|(name, value)| 1 + name.len() + value_size(value)).sum::<usize>()
        }
        _ => 1,
    }
}

/// A byte for two digits, one for the exponent and one for the sign.
fn number_size(digits: &str) -> usize {
    digits.len().div_ceil(2) + 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::primitives::Blob;

    #[test]
    fn sizes_are_those_of_names_and_values_in_utf_8() {
        let mut item = place("TENANT#a", "CONFIG#b");
        assert_eq!(size(&item), 2 + 8 + 2 + 8);
        item.insert("é".to_owned(), text("ü"));
        item.insert("b".to_owned(), AttributeValue::B(Blob::new([0; 10])));
        item.insert("n".to_owned(), number(1234));
        item.insert("t".to_owned(), AttributeValue::Bool(true));
        let nested = HashMap::from([("k".to_owned(), AttributeValue::L(vec![text("ab")]))]);
        item.insert("m".to_owned(), AttributeValue::M(nested));
        assert_eq!(size(&item), 20 + 4 + 11 + 5 + 2 + (1 + 3 + 1 + 1 + 3 + 1 + 2));
    }
}
