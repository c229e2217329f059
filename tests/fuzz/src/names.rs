//! Names: what is accepted is in the strict alphabet, all that is in it is
//! accepted, and no name or spelling of a place can mean another's.
//!
//! The input is text; its lines are a tenant, a service and a key.

use confhub::auth::Access;
use confhub::aws::naming;
use confhub::source::Address;
use confhub_proto::{Key, NameError, Prefix, ServiceName, TenantId};

/// How stores spell the root in this target.
const ROOT: &str = "confhub";

pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for name in [&text, text.lines().next().unwrap_or_default()] {
        alike(TenantId::new(name).map(|found| found.to_string()), name, super::is_strict(name, 64));
        let service = super::is_strict(name, 64) && name != "shared";
        alike(ServiceName::new(name).map(|found| found.to_string()), name, service);
        alike(Key::new(name).map(|found| found.to_string()), name, super::is_strict(name, 256));
        alike(Prefix::new(name).map(|found| found.to_string()), name, super::is_strict(name, 256));
    }
    spelled(&text);
    read(&text);
    if Access::of(&text) == Some(Access::Open) {
        assert!(text.starts_with("/grpc.health.v1.") || text.starts_with("/grpc.reflection.v1"), "{text}");
    }
}

fn alike(found: Result<String, NameError>, name: &str, good: bool) {
    match found {
        Ok(found) => assert!(good && found == name, "accepted {name:?} as {found:?}"),
        Err(error) => {
            assert!(!good, "refused {name:?}: {error}");
            super::check_error(&error.to_string());
        }
    }
}

/// A place that is spelled and read back is the same place.
fn spelled(text: &str) {
    let mut lines = text.lines();
    let mut line = || lines.next().unwrap_or_default();
    let Ok(tenant) = TenantId::new(line()) else { return };
    let service = ServiceName::new(line()).ok();
    let Ok(key) = Key::new(line()) else { return };
    let partition = naming::partition(&tenant, service.as_ref());
    assert_eq!(naming::parse_partition(&partition), Some((tenant.clone(), service.clone())));
    assert_eq!(naming::parse_sort_key(&naming::sort_key(&key)), Some(key.clone()));
    let address = Address { service, key };
    let path = naming::path(ROOT, &tenant, &address);
    assert!(path.starts_with(&format!("{}/", naming::tenant_path(ROOT, &tenant))));
    assert_eq!(naming::parse_path(ROOT, &path), Some((tenant, address)));
}

/// A place that is read from any text is spelled so and in no other way.
fn read(text: &str) {
    if let Some((tenant, service)) = naming::parse_partition(text) {
        assert_eq!(naming::partition(&tenant, service.as_ref()), text);
    }
    if let Some(key) = naming::parse_sort_key(text) {
        assert_eq!(naming::sort_key(&key), text);
    }
    if let Some((tenant, address)) = naming::parse_path(ROOT, text) {
        assert_eq!(naming::path(ROOT, &tenant, &address), text);
    }
}
