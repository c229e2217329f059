//! Single reads: from memory if the tenant is loaded, and otherwise from the
//! backend that owns the key. The value of a secret always comes from there.

use super::Edge;
use super::admin::call;
use super::call::Place;
use super::governor::Cost;
use super::request::fitting;
use super::status::invalid;
use crate::audit::Act;
use crate::auth::Identity;
use crate::source::Address;
use confhub_proto::{Entry, Key, ServiceName, limits, wire};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tonic::{Request, Response, Status};
use wire::config_service_server::ConfigService;

#[tonic::async_trait]
impl ConfigService for Edge {
    async fn get(&self, request: Request<wire::GetRequest>) -> Result<Response<wire::GetResponse>, Status> {
        let identity = self.let_in(request.extensions())?;
        let asked = request.get_ref();
        let key = Key::new(&asked.key).map_err(invalid)?;
        let service = self.viewed_service(identity, &asked.service)?;
        let mut found = self.visible(identity, &service, std::slice::from_ref(&key)).await?;
        let entry = found.remove(&key).ok_or_else(|| not_found(&key, service.as_ref()))?;
        Ok(Response::new(wire::GetResponse { entry: Some((&*entry).into()) }))
    }

    async fn batch_get(
        &self,
        request: Request<wire::BatchGetRequest>,
    ) -> Result<Response<wire::BatchGetResponse>, Status> {
        let identity = self.let_in(request.extensions())?;
        let asked = request.get_ref();
        let keys = keys(&asked.keys)?;
        let service = self.viewed_service(identity, &asked.service)?;
        let mut found = self.visible(identity, &service, &keys).await?;
        let sizes = keys.iter().filter_map(|key| found.get(key)).map(|entry| entry.size());
        let fitting = fitting(sizes);
        if let Some(place) = request.extensions().get::<Place>() {
            let bytes = found.values().map(|entry| entry.size()).sum();
            place.charge(Cost::Read(bytes));
        }
        let mut response = wire::BatchGetResponse::default();
        for key in keys {
            match found.remove(&key) {
                Some(_) if response.entries.len() == fitting => response.remaining.push(key.to_string()),
                Some(entry) => response.entries.push((&*entry).into()),
                None => response.missing.push(key.to_string()),
            }
        }
        Ok(Response::new(response))
    }

    async fn reveal(
        &self,
        request: Request<wire::RevealRequest>,
    ) -> Result<Response<wire::RevealResponse>, Status> {
        let identity = self.let_in(request.extensions())?;
        let asked = request.get_ref();
        let key = Key::new(&asked.key).map_err(invalid)?;
        let call = call(request.extensions());
        // As it was asked, however it ends: a service that is none is cut short.
        let named = asked.service.chars().take(limits::NAME_BYTES).collect();
        call.about(vec![Act { service: named, key: key.to_string(), action: "reveal", ..Act::default() }]);
        let service = self.viewed_service(identity, &asked.service)?;
        let backend = &self.router.backends()[self.router.route(&key)?];
        for address in addresses(&service, &key) {
            let Some((entry, value)) = backend.reveal(&identity.tenant, &address).await? else { continue };
            if !entry.is_secret() {
                return Err(Status::failed_precondition(format!("`{key}` is no secret: use Get")));
            }
            call.about(vec![Act::on(&address, "reveal", Some(entry.version()))]);
            // Before the value leaves: what is not on record is not revealed.
            let told = self.audit.tell_first(&call).await;
            told.map_err(|error| Status::unavailable(error.to_string()))?;
            tracing::info!(tenant = %identity.tenant, subject = %identity.subject, %key,
                version = entry.version(), "revealed a secret");
            let entry = wire::Entry { value, ..(&entry).into() };
            return Ok(Response::new(wire::RevealResponse { entry: Some(entry) }));
        }
        Err(not_found(&key, service.as_ref()))
    }
}

impl Edge {
    /// What a service's view shows of these keys, each backend read once.
    async fn visible(
        &self,
        identity: &Identity,
        service: &Option<ServiceName>,
        keys: &[Key],
    ) -> Result<HashMap<Key, Arc<Entry>>, Status> {
        let mut by_backend = vec![Vec::new(); self.router.backends().len()];
        for key in keys {
            by_backend[self.router.route(key)?].extend(addresses(service, key));
        }
        let mut found = HashMap::with_capacity(keys.len());
        for (backend, addresses) in by_backend.into_iter().enumerate() {
            if addresses.is_empty() {
                continue;
            }
            for entry in self.tenants.read(&identity.tenant, backend, &addresses).await?.into_iter().flatten()
            {
                // The service's own address comes first, and wins.
                found.entry(entry.key().clone()).or_insert(entry);
            }
        }
        Ok(found)
    }
}

/// Where a view looks for a key, the winner first.
fn addresses(service: &Option<ServiceName>, key: &Key) -> impl Iterator<Item = Address> {
    let own = service.clone().map(|service| Address { service: Some(service), key: key.clone() });
    own.into_iter().chain([Address { service: None, key: key.clone() }])
}

fn keys(asked: &[String]) -> Result<Vec<Key>, Status> {
    let most = limits::BATCH_GET_KEYS;
    if asked.is_empty() || asked.len() > most {
        return Err(invalid(format!("{} keys; 1 to {most} are allowed", asked.len())));
    }
    let keys = asked.iter().map(|key| Key::new(key).map_err(invalid)).collect::<Result<Vec<_>, _>>()?;
    let mut seen = HashSet::with_capacity(keys.len());
    match keys.iter().find(|key| !seen.insert(*key)) {
        Some(twice) => Err(invalid(format!("the key `{twice}` is asked for twice"))),
        None => Ok(keys),
    }
}

fn not_found(key: &Key, service: Option<&ServiceName>) -> Status {
    Status::not_found(match service {
        Some(service) => format!("`{key}` does not exist, neither for service `{service}` nor shared"),
        None => format!("`{key}` does not exist among the shared entries"),
    })
}
