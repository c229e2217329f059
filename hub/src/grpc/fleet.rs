//! What instances have applied, told by them and asked for by operators.
//!
//! A report is a call of its own on the connection of its stream: it is read and answered
//! beside the streams, and what is to be delivered never waits for it.

use super::Edge;
use super::admin::Caller;
use super::request::{fitting, service};
use super::status::invalid;
use crate::fleet::{
    GRACE, ID_BYTES, InstanceId, Marked, PROBLEMS, Pace, Problem, REASON_BYTES, Report, Row, Unknown, Verdict,
};
use crate::source::Address;
use confhub_proto::{Digest, Key, ServiceName, limits, wire};
use std::collections::HashSet;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::{Request, Response, Status};
use wire::fleet_service_server::FleetService;
use wire::wait_applied_response::State;

/// Longest wait of one call: calls end after 30 s, and proxies end those that are silent
/// for as long.
const WAIT: Duration = Duration::from_secs(20);

/// How long the tenant may take to be read after the changes, however short the wait is.
const READ: Duration = Duration::from_secs(1);

/// Shortest time between two looks at how far changes have come, and how much longer it
/// is for each instance: with many of them, many reports come between two looks.
const LOOKS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_micros(2));

/// Most instances that a wait names.
const NAMED: usize = 100;

/// Most services that a call may name: as many views as a tenant has by default.
const SERVICES: usize = 256;

/// Bytes of the place of an instance in a list, at most: its service, name and id.
const AFTER_BYTES: usize = 512;

#[tonic::async_trait]
impl FleetService for Edge {
    async fn report(
        &self,
        request: Request<wire::ReportRequest>,
    ) -> Result<Response<wire::ReportResponse>, Status> {
        let (caller, asked) = self.caller(request)?;
        let id = instance_of(&asked.id)?.ok_or_else(|| invalid("`id` is missing"))?;
        let report = report(asked)?;
        let crew = self.tenants.crew(&caller.tenant).ok_or(Unknown)?;
        crew.report(id, report, (self.clock)(), |service| self.sees(&caller, service))?;
        self.metrics.reports.inc();
        let pace = Some(wire_pace(self.tenants.reporters().pace()));
        Ok(Response::new(wire::ReportResponse { pace }))
    }

    async fn list_instances(
        &self,
        request: Request<wire::ListInstancesRequest>,
    ) -> Result<Response<wire::ListInstancesResponse>, Status> {
        let (caller, asked) = self.caller(request)?;
        let wanted = self.wanted(&caller, &asked.services)?;
        if asked.after.len() > AFTER_BYTES {
            return Err(invalid(format!("`after` has more than {AFTER_BYTES} bytes")));
        }
        let rows = self.fleet.rows(&caller.tenant, wanted);
        let mut rows: Vec<_> = rows.into_iter().map(|row| (place(&row), row)).collect();
        rows.retain(|(place, _)| *place > asked.after);
        rows.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let now = (self.clock)();
        let instances: Vec<_> = rows.iter().map(|(_, row)| wire_instance(row, now)).collect();
        let fits = fitting(instances.iter().map(prost::Message::encoded_len)).min(rows.len());
        let more = fits < rows.len();
        let position = rows.into_iter().nth(fits.saturating_sub(1)).filter(|_| more);
        let position = position.map(|(place, _)| place).unwrap_or_default();
        let instances = instances.into_iter().take(fits).collect();
        Ok(Response::new(wire::ListInstancesResponse { instances, position, hub_time: Some(now.into()) }))
    }

    async fn wait_applied(
        &self,
        request: Request<wire::WaitAppliedRequest>,
    ) -> Result<Response<wire::WaitAppliedResponse>, Status> {
        let (caller, asked) = self.caller(request)?;
        let wanted = self.wanted(&caller, &asked.services)?;
        let written = self.written(&caller, asked.changes)?;
        let patience = asked.timeout.map(Duration::try_from).transpose();
        let patience = patience.map_err(|_| invalid("`timeout` is negative"))?.unwrap_or(WAIT).min(WAIT);
        let verdict = self.applied(&caller, &written, &wanted, Instant::now() + patience).await;
        Ok(Response::new(wire_verdict(&verdict, (self.clock)())))
    }
}

impl Edge {
    /// Waits until changes have come to the instances of the services that are wanted.
    pub(super) async fn applied(
        &self,
        caller: &Caller,
        written: &[(Address, u64)],
        wanted: &(impl Fn(Option<&ServiceName>) -> bool + Sync),
        deadline: Instant,
    ) -> Verdict {
        let unread = || Marked::unread(written.iter().map(|(address, _)| address.clone()).collect());
        let read = deadline.max(Instant::now() + READ);
        let marked = match timeout_at(read, self.fleet.mark(&caller.tenant, written)).await {
            // Nobody follows the tenant.
            Ok(None) => return Verdict::default(),
            Ok(Some(marked)) => marked,
            Err(_) => unread(),
        };
        loop {
            let mut moves = self.fleet.moves(&caller.tenant);
            let Some(verdict) = self.fleet.verdict(&caller.tenant, &marked, wanted) else {
                return Verdict::default();
            };
            if verdict.is_settled() || Instant::now() >= deadline {
                return verdict;
            }
            let pause =
                LOOKS.0 + LOOKS.1.saturating_mul(u32::try_from(verdict.instances).unwrap_or(u32::MAX));
            // Nobody tells when one who has left is given up.
            let next = deadline.min(Instant::now() + GRACE);
            let _ = timeout_at(next, self.fleet.moved(&mut moves)).await;
            let _ = timeout(deadline.saturating_duration_since(Instant::now()), sleep(pause)).await;
        }
    }

    /// Whether a caller sees, and speaks for, the instances of a service.
    fn sees(&self, caller: &Caller, service: Option<&ServiceName>) -> bool {
        match &caller.service {
            Some(own) => service == Some(own),
            None => self.admits(caller, service),
        }
    }

    /// Which instances a caller wants, of those that it sees. To name a service that it
    /// does not see is a mistake.
    fn wanted(
        &self,
        caller: &Caller,
        services: &[String],
    ) -> Result<impl Fn(Option<&ServiceName>) -> bool + Send + Sync, Status> {
        if services.len() > SERVICES {
            return Err(invalid(format!("{} services; at most {SERVICES} are allowed", services.len())));
        }
        let mut named = HashSet::new();
        for name in services {
            let service = service(name)?;
            if !self.sees(caller, service.as_ref()) {
                return Err(Status::permission_denied(
                    "the token does not reach the instances of that service",
                ));
            }
            named.insert(service);
        }
        let (own, any) = (caller.service.clone(), self.chooses(caller));
        Ok(move |service: Option<&ServiceName>| {
            let seen = match &own {
                Some(own) => service == Some(own),
                None => service.is_none() || any,
            };
            seen && (named.is_empty() || named.contains(&service.cloned()))
        })
    }

    /// What a caller says that was written. Only where it sees entries.
    fn written(&self, caller: &Caller, changes: Vec<wire::Written>) -> Result<Vec<(Address, u64)>, Status> {
        let most = limits::APPLY_CHANGES;
        if changes.is_empty() || changes.len() > most {
            return Err(invalid(format!("{} changes; 1 to {most} are allowed", changes.len())));
        }
        let written = |change: wire::Written| {
            let (service, key) = (service(&change.service)?, Key::new(&change.key).map_err(invalid)?);
            self.router.route(&key)?;
            if !self.admits(caller, service.as_ref()) {
                return Err(Status::permission_denied(
                    "the token does not reach the entries of that service",
                ));
            }
            Ok((Address { service, key }, change.version))
        };
        changes.into_iter().map(written).collect()
    }
}

/// The id that a client has for itself, if it has one.
pub(super) fn instance_of(id: &[u8]) -> Result<Option<InstanceId>, Status> {
    if id.is_empty() {
        return Ok(None);
    }
    let wrong = || invalid(format!("an `id` of {} bytes; it has {ID_BYTES}", id.len()));
    InstanceId::from_slice(id).map(Some).ok_or_else(wrong)
}

/// A report, checked.
fn report(asked: wire::ReportRequest) -> Result<Report, Status> {
    let cursor = Digest::from_wire(&asked.cursor).map_err(invalid)?;
    if asked.problems.len() > PROBLEMS {
        return Err(invalid(format!("{} problems; at most {PROBLEMS} are allowed", asked.problems.len())));
    }
    let long = |reason: &str| reason.len() > REASON_BYTES;
    if long(&asked.refused) || asked.problems.iter().any(|problem| long(&problem.reason)) {
        return Err(invalid(format!("a reason has more than {REASON_BYTES} bytes")));
    }
    let problem = |problem: wire::Problem| {
        let key = Key::new(&problem.key).map_err(invalid)?.to_string();
        Ok(Problem { key, reason: problem.reason })
    };
    let problems = asked.problems.into_iter().map(problem).collect::<Result<_, Status>>()?;
    Ok(Report { cursor, problems, refused: asked.refused.into() })
}

/// A pace, for the wire.
pub(super) fn wire_pace(pace: Pace) -> wire::ReportPace {
    let time = |time: Duration| prost_types::Duration::try_from(time).ok();
    wire::ReportPace { burst: pace.burst, interval: time(pace.interval), spread: time(pace.spread) }
}

fn wire_verdict(verdict: &Verdict, now: SystemTime) -> wire::WaitAppliedResponse {
    let (state, lacking) = match (verdict.refused.as_slice(), verdict.pending.as_slice()) {
        ([], []) => (State::Applied, [].as_slice()),
        ([], pending) => (State::Pending, pending),
        (refused, _) => (State::Refused, refused),
    };
    let mut named: Vec<_> = lacking.iter().map(|row| (place(row), row)).collect();
    named.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    wire::WaitAppliedResponse {
        state: state.into(),
        instances: verdict.instances as u64,
        unreporting: verdict.unreporting as u64,
        lacking: named.into_iter().take(NAMED).map(|(_, row)| wire_instance(row, now)).collect(),
        lacking_count: lacking.len() as u64,
    }
}

fn wire_instance(row: &Row, now: SystemTime) -> wire::Instance {
    let report = row.report.as_ref();
    let problem =
        |problem: &Problem| wire::Problem { key: problem.key.clone(), reason: problem.reason.clone() };
    let behind = row.behind_since.and_then(|since| now.duration_since(since).ok());
    wire::Instance {
        id: row.id.0.to_vec(),
        client: Some(wire::ClientInfo {
            instance: row.about.name.clone(),
            version: row.about.version.clone(),
            sdk: row.about.sdk.clone(),
            id: Vec::new(),
        }),
        service: row.service.as_ref().map(ToString::to_string).unwrap_or_default(),
        address: row.about.address.map(|address| address.to_string()).unwrap_or_default(),
        connected_at: Some(row.connected_at.into()),
        reported_at: report.map(|(_, at)| (*at).into()),
        cursor: report
            .and_then(|(report, _)| report.cursor)
            .map(|cursor| cursor.to_bytes().to_vec())
            .unwrap_or_default(),
        changes_behind: row.changes_behind,
        time_behind: behind.and_then(|behind| prost_types::Duration::try_from(behind).ok()),
        problems: report.map(|(report, _)| report.problems.iter().map(problem).collect()).unwrap_or_default(),
        refused: report.map(|(report, _)| report.refused.to_string()).unwrap_or_default(),
        away: row.away,
    }
}

/// Where an instance stands in a list: by service, name and id. No name has a zero byte
/// that could make one of these look like another; if one has, it is merely elsewhere.
fn place(row: &Row) -> Vec<u8> {
    let service = row.service.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut place = service.into_bytes();
    place.push(0);
    place.extend_from_slice(row.about.name.as_bytes());
    place.push(0);
    place.extend_from_slice(&row.id.0);
    place
}

impl From<Unknown> for Status {
    fn from(unknown: Unknown) -> Self {
        Self::not_found(unknown.to_string())
    }
}
