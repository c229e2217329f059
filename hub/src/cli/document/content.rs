//! One value of a document, and what it means as content.

use super::Item;
use super::error::DocumentError;
use super::json::Node;
use crate::cli::value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use confhub_proto::{Bytes, Content, Key, limits};

/// Members of the explicit form. An object that has one of these is in it.
pub(crate) const CONTENT_TYPE: &str = "$content_type";
pub(crate) const TEXT: &str = "$text";
pub(crate) const BASE64_VALUE: &str = "$base64";
pub(crate) const JSON: &str = "$json";
pub(crate) const SECRET: &str = "$secret";

/// Whether an object with this member is in the explicit form.
pub(crate) fn is_reserved(member: &str) -> bool {
    [CONTENT_TYPE, TEXT, BASE64_VALUE, JSON, SECRET].contains(&member)
}

/// Reads the value of a key. In a section of `secrets`, everything is a secret.
pub(crate) fn item(node: &Node<'_>, secrets: bool, key: Option<&Key>) -> Result<Item, DocumentError> {
    if node.is_object() {
        let members = node.members()?;
        if members.iter().any(|(name, _)| is_reserved(name)) {
            return explicit(node, members, secrets);
        }
    }
    let (value, content_type) = match node.is_string() {
        true => (Bytes::from(node.string()?), Content::TEXT),
        false => {
            let flag = key.and_then(|key| value::flag_type(key.as_str()));
            (Bytes::copy_from_slice(node.raw().as_bytes()), flag.unwrap_or(Content::JSON))
        }
    };
    content(node, value, content_type, secrets)
}

fn explicit(node: &Node<'_>, members: Vec<(String, Node<'_>)>, secrets: bool) -> Result<Item, DocumentError> {
    let (mut content_type, mut secret, mut value) = (None, secrets, None);
    for (name, member) in members {
        let bytes = match name.as_str() {
            CONTENT_TYPE => {
                content_type = Some(member.string()?);
                continue;
            }
            SECRET => {
                secret = member.boolean()?;
                if secrets && !secret {
                    return Err(member.error("is in `secrets` and says that it is no secret"));
                }
                continue;
            }
            TEXT => member.string()?.into_bytes(),
            JSON => member.raw().as_bytes().to_vec(),
            BASE64_VALUE => BASE64
                .decode(member.string()?)
                .map_err(|error| member.error(format!("is no base64: {error}")))?,
            _ => {
                return Err(member.error(format!(
                    "does not belong beside `$…`: expected {CONTENT_TYPE}, {TEXT}, {BASE64_VALUE}, {JSON}, {SECRET}"
                )));
            }
        };
        if value.replace(Bytes::from(bytes)).is_some() {
            return Err(
                member.error(format!("is a second value: expected one of {TEXT}, {BASE64_VALUE}, {JSON}"))
            );
        }
    }
    match (value, content_type) {
        (Some(value), Some(content_type)) => content(node, value, &content_type, secret),
        (Some(_), None) => Err(node.error(format!("has no {CONTENT_TYPE}"))),
        (None, _) if secret => Ok(Item::Marker),
        (None, _) => Err(node.error(format!("has no value: expected one of {TEXT}, {BASE64_VALUE}, {JSON}"))),
    }
}

fn content(node: &Node<'_>, value: Bytes, content_type: &str, secret: bool) -> Result<Item, DocumentError> {
    let content = Content::new(value, content_type, secret, limits::VALUE_BYTES);
    content.map(Item::Content).map_err(|error| node.error(error))
}
