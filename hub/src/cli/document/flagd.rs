//! flagd's definition files: each flag becomes an entry of its own, its
//! definition kept byte for byte.

use super::error::DocumentError;
use super::json::Node;
use super::{Address, Document, Item, Naming};
use confhub_proto::{Bytes, Content, limits};

/// Media type of one flag definition.
pub(crate) const FLAG: &str = "application/vnd.flagd.flag+json";

/// Put before the name of a flag, after the prefix.
const FLAG_NAME: &str = "flag_";

/// Whether these are the members of a definition file.
pub(crate) fn is_definitions(members: &[(String, Node<'_>)]) -> bool {
    members.iter().any(|(name, _)| matches!(name.as_str(), "flags" | "$evaluators"))
}

/// Reads a definition file. Its flags are shared by all services.
pub(crate) fn read(
    members: Vec<(String, Node<'_>)>,
    naming: &Naming,
    document: &mut Document,
) -> Result<(), DocumentError> {
    for (name, node) in members {
        match name.as_str() {
            "$schema" => {
                node.string()?;
            }
            "flags" => {
                for (flag, definition) in node.members()? {
                    read_flag(&flag, &definition, naming, document)?;
                }
            }
            "$evaluators" => {
                return Err(node.error(
                    "shared evaluators are not supported: write the rule into each flag that refers to it",
                ));
            }
            _ => return Err(node.error("is not known in flag definitions: expected $schema, flags")),
        }
    }
    Ok(())
}

fn read_flag(
    name: &str,
    definition: &Node<'_>,
    naming: &Naming,
    document: &mut Document,
) -> Result<(), DocumentError> {
    if !definition.is_object() {
        return Err(definition.error("expected the definition of a flag, an object"));
    }
    let key = naming.key(&format!("{FLAG_NAME}{name}"), definition)?;
    let value = Bytes::copy_from_slice(definition.raw().as_bytes());
    let content =
        Content::new(value, FLAG, false, limits::VALUE_BYTES).map_err(|error| definition.error(error))?;
    let address = Address { service: None, key };
    if document.insert(address.clone(), Item::Content(content)).is_some() {
        return Err(definition.error(format!("`{address}` is there twice")));
    }
    Ok(())
}
