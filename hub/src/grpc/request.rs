//! What a call asks, checked.

use super::Edge;
use super::status::invalid;
use crate::auth::Identity;
use crate::source::Address;
use crate::tenant::View;
use confhub_proto::{Key, Prefix, ServiceName, limits};
use http::Extensions;
use tonic::Status;

/// Who calls. The auth layer has put it there.
pub(super) fn identity(extensions: &Extensions) -> Result<&Identity, Status> {
    extensions.get().ok_or_else(|| Status::internal("a call reached a method without an identity"))
}

/// The service whose view a caller gets: the token's if it names one, whatever
/// the request says, and otherwise the one asked for.
pub(super) fn viewed_service(identity: &Identity, asked: &str) -> Result<Option<ServiceName>, Status> {
    match &identity.service {
        Some(service) => Ok(Some(service.clone())),
        None => service(asked),
    }
}

impl Edge {
    /// The view that a caller gets.
    pub(super) fn view(
        &self,
        identity: &Identity,
        service: &str,
        prefixes: &[String],
    ) -> Result<View, Status> {
        Ok(View::new(viewed_service(identity, service)?, self.prefixes(prefixes)?))
    }

    /// What narrows a view or a list. One that no key can have is a mistake.
    pub(super) fn prefixes(&self, prefixes: &[String]) -> Result<Vec<Prefix>, Status> {
        if prefixes.len() > limits::VIEW_PREFIXES {
            let (count, most) = (prefixes.len(), limits::VIEW_PREFIXES);
            return Err(invalid(format!("{count} prefixes; at most {most} are allowed")));
        }
        let prefix = |text: &String| {
            let prefix = Prefix::new(text).map_err(invalid)?;
            self.router.check_prefix(&prefix)?;
            Ok(prefix)
        };
        prefixes.iter().map(prefix).collect()
    }
}

/// How many of the items, in their order, an answer has room for: at least one.
pub(super) fn fitting(sizes: impl Iterator<Item = usize>) -> usize {
    let mut bytes = 0;
    let fits = |size: &usize| {
        bytes += size;
        bytes <= limits::RESPONSE_BYTES
    };
    sizes.take_while(fits).count().max(1)
}

/// An entry that a caller may see or change as an operator: a token with a
/// service reaches that service's entries, and (to see) the shared ones.
pub(super) fn address(
    identity: &Identity,
    service: &str,
    key: &str,
    change: bool,
) -> Result<Address, Status> {
    let address = Address { service: self::service(service)?, key: Key::new(key).map_err(invalid)? };
    let allowed = match &identity.service {
        None => true,
        Some(own) => address.service.as_ref() == Some(own) || (!change && address.service.is_none()),
    };
    if allowed {
        return Ok(address);
    }
    Err(Status::permission_denied("the token is limited to the entries of its own service"))
}

fn service(name: &str) -> Result<Option<ServiceName>, Status> {
    if name.is_empty() { Ok(None) } else { ServiceName::new(name).map(Some).map_err(invalid) }
}
