//! What a call asks, checked.

use super::Edge;
use super::admin::Caller;
use super::status::invalid;
use crate::audit::Act;
use crate::auth::{Identity, Role};
use crate::config::WithoutService;
use crate::source::Address;
use crate::tenant::View;
use confhub_proto::{Key, Prefix, ServiceName, limits};
use http::Extensions;
use tonic::Status;

/// Who calls. The auth layer has put it there.
pub(super) fn identity(extensions: &Extensions) -> Result<&Identity, Status> {
    extensions.get().ok_or_else(|| Status::internal("a call reached a method without an identity"))
}

/// What a caller wants of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Look,
    Put,
    Delete,
    Restore,
}

impl Wish {
    /// How the audit log spells it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::Restore => "restore",
        }
    }
}

impl Edge {
    /// The service whose view a caller gets: the token's if it names one, whatever
    /// the request says, and otherwise the one asked for, if the settings let a
    /// token without a service choose.
    pub(super) fn viewed_service(
        &self,
        identity: &Identity,
        asked: &str,
    ) -> Result<Option<ServiceName>, Status> {
        match &identity.service {
            Some(service) => Ok(Some(service.clone())),
            None => {
                let service = service(asked)?;
                self.admits(identity, service.as_ref()).then_some(service).ok_or_else(no_service)
            }
        }
    }

    /// Whether a caller may see entries of this service (`None`: shared ones).
    pub(super) fn admits(&self, identity: &Identity, service: Option<&ServiceName>) -> bool {
        match (&identity.service, service) {
            (_, None) => true,
            (Some(own), Some(service)) => own == service,
            (None, Some(_)) => self.chooses(identity),
        }
    }

    /// Whether a token that names no service may choose one.
    pub(super) fn chooses(&self, identity: &Identity) -> bool {
        self.without_service == WithoutService::Any || identity.roles.has(Role::Writer)
    }

    /// An entry that a caller may see or change as an operator: a token with a
    /// service reaches that service's entries, and (to see) the shared ones. One that
    /// it does not reach is on record with what was asked.
    pub(super) fn address(
        &self,
        caller: &Caller,
        service: &str,
        key: &str,
        wish: Wish,
    ) -> Result<Address, Status> {
        let address = Address { service: self::service(service)?, key: Key::new(key).map_err(invalid)? };
        let seen = self.admits(caller, address.service.as_ref());
        let shared_by_one = wish != Wish::Look && caller.service.is_some() && address.service.is_none();
        if seen && !shared_by_one {
            return Ok(address);
        }
        caller.call.about(vec![Act::on(&address, wish.as_str(), None)]);
        Err(match caller.service {
            Some(_) => Status::permission_denied("the token is limited to the entries of its own service"),
            None => no_service(),
        })
    }

    /// The view that a caller gets.
    pub(super) fn view(
        &self,
        identity: &Identity,
        service: &str,
        prefixes: &[String],
    ) -> Result<View, Status> {
        Ok(View::new(self.viewed_service(identity, service)?, self.prefixes(prefixes)?))
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

fn no_service() -> Status {
    Status::permission_denied(
        "the token names no service, and sees shared entries alone here (`auth.without-service`)",
    )
}

/// The service that a request names; empty: none.
pub(super) fn service(name: &str) -> Result<Option<ServiceName>, Status> {
    if name.is_empty() { Ok(None) } else { ServiceName::new(name).map(Some).map_err(invalid) }
}
