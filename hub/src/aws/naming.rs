//! How places are spelled in the stores of AWS, and read back.
//!
//! Every name has passed the strict alphabet of `confhub_proto`, which has none
//! of the signs that separate parts here (`#`, `|`, `/`): no name can reach into
//! another tenant's.

use crate::source::Address;
use confhub_proto::{Key, ServiceName, TenantId};

/// How the service part of a path spells the entries that all services share.
const SHARED: &str = "shared";

const TENANT: &str = "TENANT#";
const SERVICE: &str = "|SERVICE#";
/// Start of the sort key of every entry.
pub const CONFIG: &str = "CONFIG#";

/// Partition key of a tenant's shared entries, or of those of one service.
#[must_use]
pub fn partition(tenant: &TenantId, service: Option<&ServiceName>) -> String {
    match service {
        None => format!("{TENANT}{tenant}"),
        Some(service) => format!("{TENANT}{tenant}{SERVICE}{service}"),
    }
}

/// Sort key of an entry.
#[must_use]
pub fn sort_key(key: &Key) -> String {
    format!("{CONFIG}{key}")
}

/// Reads a partition key: the tenant, and the service.
#[must_use]
pub fn parse_partition(pk: &str) -> Option<(TenantId, Option<ServiceName>)> {
    let rest = pk.strip_prefix(TENANT)?;
    let (tenant, service) = match rest.split_once(SERVICE) {
        None => (rest, None),
        Some((tenant, service)) => (tenant, Some(ServiceName::new(service).ok()?)),
    };
    Some((TenantId::new(tenant).ok()?, service))
}

/// Reads the sort key of an entry. `None`: the row is of another kind, or its
/// key is outside the alphabet.
#[must_use]
pub fn parse_sort_key(sk: &str) -> Option<Key> {
    Key::new(sk.strip_prefix(CONFIG)?).ok()
}

/// Whether a row with this sort key is an entry, well-formed or not.
#[must_use]
pub fn is_entry(sk: &str) -> bool {
    sk.starts_with(CONFIG)
}

/// Path of all that a tenant has: `/root/tenant`.
#[must_use]
pub fn tenant_path(root: &str, tenant: &TenantId) -> String {
    format!("/{root}/{tenant}")
}

/// Path of one entry: `/root/tenant/service/key`.
#[must_use]
pub fn path(root: &str, tenant: &TenantId, address: &Address) -> String {
    let service = address.service.as_ref().map_or(SHARED, ServiceName::as_str);
    format!("/{root}/{tenant}/{service}/{}", address.key)
}

/// Reads a path. `None`: it is not below the root, or has another form.
#[must_use]
pub fn parse_path(root: &str, path: &str) -> Option<(TenantId, Address)> {
    let rest = path.strip_prefix('/')?.strip_prefix(root)?.strip_prefix('/')?;
    let mut parts = rest.split('/');
    let (tenant, service, key) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let service = if service == SHARED { None } else { Some(ServiceName::new(service).ok()?) };
    Some((TenantId::new(tenant).ok()?, Address { service, key: Key::new(key).ok()? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant() -> TenantId {
        TenantId::new("acme").unwrap()
    }

    #[test]
    fn what_is_spelled_is_read_back() {
        for service in [None, Some(ServiceName::new("cart").unwrap())] {
            let pk = partition(&tenant(), service.as_ref());
            assert_eq!(parse_partition(&pk), Some((tenant(), service.clone())));
            let address = Address { service, key: Key::new("param_config_x").unwrap() };
            assert_eq!(parse_sort_key(&sort_key(&address.key)), Some(address.key.clone()));
            let path = path("confhub", &tenant(), &address);
            assert_eq!(parse_path("confhub", &path), Some((tenant(), address)));
        }
    }

    #[test]
    fn nothing_else_is_read_as_a_place() {
        for pk in [
            "",
            "TENANT#",
            "acme",
            "TENANT#a#b",
            "TENANT#a|SERVICE#",
            "TENANT#a|SERVICE#shared",
            "TENANT#a|b",
        ] {
            assert_eq!(parse_partition(pk), None, "{pk}");
        }
        for path in [
            "/confhub/acme/shared",
            "/confhub/acme/shared/a/b",
            "/confhubx/acme/shared/a",
            "confhub/acme/shared/a",
            "/confhub//shared/a",
            "/confhub/acme//a",
            "/confhub/../shared/a",
            "/other/acme/shared/a",
        ] {
            assert_eq!(parse_path("confhub", path), None, "{path}");
        }
    }
}
