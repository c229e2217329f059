//! flagd's definition files: each flag becomes an entry of its own, and what stands beside
//! them one more, all texts kept byte for byte. Whether the flags are good is looked at
//! when they are compared with what the hub has, since they may refer to it.

use super::error::DocumentError;
use super::json::{Node, Source};
use super::{Address, Document, Item};
use confhub_flags::Slot;
use confhub_proto::{Bytes, Content, Key, ServiceName, limits};
use std::collections::BTreeMap;

/// Whether these are the members of a definition file.
pub(crate) fn is_definitions(members: &[(String, Node<'_>)]) -> bool {
    members.iter().any(|(name, _)| matches!(name.as_str(), "flags" | "$evaluators"))
}

/// Reads a definition file, whose flags are those of a service or (`None`) shared by all.
pub(crate) fn flags(
    file: &str,
    bytes: &[u8],
    service: Option<&ServiceName>,
) -> Result<Document, DocumentError> {
    let mut document = Document::new();
    read(&Source::check(file, bytes)?.root(), service, &mut document)?;
    Ok(document)
}

/// The same, of what has been checked already.
pub(crate) fn read(
    root: &Node<'_>,
    service: Option<&ServiceName>,
    document: &mut Document,
) -> Result<(), DocumentError> {
    let places = places(root)?;
    let file = confhub_flags::Document::parse(root.raw().as_bytes()).map_err(|faults| root.error(faults))?;
    for (slot, text) in file.split() {
        let name = match &slot {
            Slot::Flag(name) => Some(name.as_str()),
            Slot::Set => None,
        };
        let node = name.and_then(|name| places.get(name)).unwrap_or(root);
        let content = Content::new(Bytes::from(text), slot.content_type(), false, limits::VALUE_BYTES);
        let content = content.map_err(|error| node.error(error))?;
        let key = Key::new(slot.key()).map_err(|error| node.error(error))?;
        document.insert(Address { service: service.cloned(), key }, Item::Content(content));
    }
    Ok(())
}

/// Where each flag stands, if all of them are objects with names that flags can have.
fn places<'a>(root: &Node<'a>) -> Result<BTreeMap<String, Node<'a>>, DocumentError> {
    let members = root.members()?;
    let Some((_, flags)) = members.into_iter().find(|(name, node)| name == "flags" && node.is_object())
    else {
        return Ok(BTreeMap::new());
    };
    let flags = flags.members()?;
    for (name, node) in &flags {
        confhub_flags::FlagName::new(name).map_err(|error| node.error(error))?;
        if !node.is_object() {
            return Err(node.error("expected the definition of a flag, an object"));
        }
    }
    Ok(flags.into_iter().collect())
}
