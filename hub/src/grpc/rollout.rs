//! Rollouts: what operators ask, checked, and how they stand.

use super::Edge;
use super::admin::Caller;
use super::request::{Wish, service};
use super::status::{invalid, over};
use crate::audit::{Act, Outcome};
use crate::rollout::{
    Ending, LONGEST, Ms, Phase, Plan, Rollout, RolloutError, STEPS, State as Stands, TEXT_BYTES,
};
use crate::source::Address;
use confhub_flags::{DefinitionText, FlagName, Percentage, has_more_than, set_percentage_of_text};
use confhub_proto::{ServiceName, limits, wire};
use std::time::Duration;
use tonic::{Request, Response, Status};
use wire::rollout::State;
use wire::rollout_service_server::RolloutService;
use wire::steer_rollout_request::Action;

/// How long a step may take to be applied everywhere, unless it is said.
const APPLY: Duration = Duration::from_secs(60);

/// Most services that a rollout may name.
const SERVICES: usize = 64;

#[tonic::async_trait]
impl RolloutService for Edge {
    async fn start_rollout(
        &self,
        request: Request<wire::StartRolloutRequest>,
    ) -> Result<Response<wire::Rollout>, Status> {
        let (caller, asked) = self.caller(request)?;
        let name = FlagName::new(&asked.flag).map_err(invalid)?;
        let address = self.address(&caller, &asked.service, name.key().as_str(), Wish::Put)?;
        caller.call.about(vec![Act::on(&address, "rollout", None)]);
        self.sees_all(&caller, &asked.services)?;
        let plan = plan(asked)?;
        let version = self.fits(&caller, &address, &name, &plan).await?;
        let id = format!("{:016x}", fastrand::u64(..));
        let rollout = Rollout::new(id, plan, &caller.subject, version, self.rollouts.now());
        let (driver, tenant, begun) = (self.rollouts.clone(), caller.tenant.clone(), rollout.clone());
        self.told(&caller, async move { driver.book().start(&tenant, &begun).await }).await?;
        Ok(Response::new(wire_rollout(&rollout)))
    }

    async fn steer_rollout(
        &self,
        request: Request<wire::SteerRolloutRequest>,
    ) -> Result<Response<wire::Rollout>, Status> {
        let (caller, asked) = self.caller(request)?;
        let action = asked.action();
        let flag = self.own(&caller, &asked.id).await?;
        let word = match action {
            Action::Pause => "pause",
            Action::Resume => "resume",
            Action::Abort | Action::AbortAndKeep => "abort",
            Action::Unspecified => return Err(invalid("`action` is not set")),
        };
        caller.call.about(vec![Act::on(&flag, word, None)]);
        let version = match action {
            Action::Resume => self.entry(&caller, &flag).await?.map_or(0, |(version, _)| version),
            _ => 0,
        };
        let (driver, tenant) = (self.rollouts.clone(), caller.tenant.clone());
        let (now, who) = (driver.now(), caller.subject.to_string());
        let steer = move |rollout: &mut Rollout| steer(rollout, action, now, &who, version);
        let steered =
            self.told(&caller, async move { driver.book().change(&tenant, &asked.id, steer).await }).await?;
        Ok(Response::new(wire_rollout(&steered)))
    }

    async fn check_rollout(
        &self,
        request: Request<wire::CheckRolloutRequest>,
    ) -> Result<Response<wire::Rollout>, Status> {
        let (caller, asked) = self.caller(request)?;
        if asked.message.len() > TEXT_BYTES {
            return Err(invalid(format!("`message` has more than {TEXT_BYTES} bytes")));
        }
        self.own(&caller, &asked.id).await?;
        let now = self.rollouts.now();
        let checked = |rollout: &mut Rollout| {
            rollout.checked(now, asked.passed, &asked.message);
            Ok(())
        };
        let rollout = self.rollouts.book().change(&caller.tenant, &asked.id, checked).await?;
        Ok(Response::new(wire_rollout(&rollout)))
    }

    async fn list_rollouts(
        &self,
        request: Request<wire::ListRolloutsRequest>,
    ) -> Result<Response<wire::ListRolloutsResponse>, Status> {
        let (caller, asked) = self.caller(request)?;
        let rollouts = match asked.id.as_str() {
            "" => self.rollouts.book().of(&caller.tenant),
            id => vec![self.rollouts.book().read(&caller.tenant, id).await?.1],
        };
        let mut seen = rollouts;
        seen.retain(|rollout| self.reaches(&caller, rollout).is_some());
        if seen.is_empty() && !asked.id.is_empty() {
            return Err(RolloutError::Unknown(asked.id).into());
        }
        Ok(Response::new(wire::ListRolloutsResponse { rollouts: seen.iter().map(wire_rollout).collect() }))
    }
}

impl Edge {
    /// The flag of a rollout that a caller may steer.
    async fn own(&self, caller: &Caller, id: &str) -> Result<Address, Status> {
        let (_, rollout) = self.rollouts.book().read(&caller.tenant, id).await?;
        let flag = self.reaches(caller, &rollout).ok_or_else(|| RolloutError::Unknown(id.to_owned()))?;
        // As for a write of the flag.
        self.address(caller, &rollout.plan.service, flag.key.as_str(), Wish::Put)
    }

    /// The flag of a rollout, if a caller sees it.
    fn reaches(&self, caller: &Caller, rollout: &Rollout) -> Option<Address> {
        let service = service(&rollout.plan.service).ok()?;
        let key = FlagName::new(&rollout.plan.flag).ok()?.key().clone();
        self.admits(caller, service.as_ref()).then_some(Address { service, key })
    }

    /// A caller may only wait for instances that it sees.
    fn sees_all(&self, caller: &Caller, services: &[String]) -> Result<(), Status> {
        if services.len() > SERVICES {
            return Err(invalid(format!("{} services; at most {SERVICES} are allowed", services.len())));
        }
        for name in services {
            let service = ServiceName::new(name).map_err(invalid)?;
            if !self.admits(caller, Some(&service)) {
                return Err(Status::permission_denied(
                    "the token does not reach the instances of that service",
                ));
            }
        }
        Ok(())
    }

    /// Whether the flag is there and can be given to a share of users; its version.
    async fn fits(
        &self,
        caller: &Caller,
        address: &Address,
        name: &FlagName,
        plan: &Plan,
    ) -> Result<u64, Status> {
        let Some((version, text)) = self.entry(caller, address).await? else {
            return Err(Status::not_found(format!("there is no flag `{name}` to roll out: create it first")));
        };
        let own = |reason: String| Status::failed_precondition(reason);
        let mut definition = DefinitionText::parse(&text).map_err(|faults| own(faults.to_string()))?;
        let share: Option<Percentage> = plan.steps.first().and_then(|share| share.parse().ok());
        let share = share.ok_or_else(|| invalid("there is no step"))?;
        if has_more_than(&definition, share, &plan.on, &plan.off) {
            return Err(own(format!(
                "more users than {share} have the flag already, and would lose it: begin with a greater step, \
                 or set the share first (`confhub flag set-percentage`)"
            )));
        }
        set_percentage_of_text(name, &mut definition, share, &plan.on, &plan.off)
            .map_err(|faults| own(faults.to_string()))?;
        Ok(version)
    }

    async fn entry(&self, caller: &Caller, address: &Address) -> Result<Option<(u64, bytes::Bytes)>, Status> {
        let backend = &self.router.backends()[self.router.route(&address.key)?];
        let found = backend.read(&caller.tenant, std::slice::from_ref(address)).await?;
        let entry = found.into_iter().flatten().next();
        Ok(entry.map(|entry| (entry.version(), entry.value().clone())))
    }

    /// Does something that is on record, and is carried to its end though the caller may
    /// leave.
    async fn told<T: Send + 'static>(
        &self,
        caller: &Caller,
        what: impl Future<Output = Result<T, RolloutError>> + Send + 'static,
    ) -> Result<T, Status> {
        let (audit, call) = (self.audit.clone(), caller.call.clone());
        let done = tokio::spawn(async move {
            let done = what.await;
            if done.is_ok() {
                audit.tell(&call, Outcome::Done, "").await;
            }
            done
        });
        let done = done.await.map_err(|_| Status::internal("the call has ended without an answer"))?;
        Ok(done?)
    }
}

/// What is asked for, checked.
fn plan(asked: wire::StartRolloutRequest) -> Result<Plan, Status> {
    let steps = asked.steps;
    if steps.is_empty() || steps.len() > STEPS {
        return Err(invalid(format!("{} steps; 1 to {STEPS} are allowed", steps.len())));
    }
    let shares: Vec<Percentage> =
        steps.iter().map(|step| step.parse().map_err(invalid)).collect::<Result<_, _>>()?;
    if let Some(at) = shares.windows(2).position(|pair| pair[1] <= pair[0]) {
        let (next, step) = (&steps[at + 1], &steps[at]);
        return Err(invalid(format!("the step `{next}` is not more than the one before it, `{step}`")));
    }
    let variant = |named: String, default: &str| match named {
        named if named.is_empty() => Ok(default.to_owned()),
        named if named.len() > limits::NAME_BYTES => {
            Err(invalid(format!("the name of a variant has more than {} bytes", limits::NAME_BYTES)))
        }
        named => Ok(named),
    };
    Ok(Plan {
        flag: asked.flag,
        service: asked.service,
        on: variant(asked.on, "on")?,
        off: variant(asked.off, "off")?,
        steps,
        hold_ms: time("hold", asked.hold)?.unwrap_or_default(),
        apply_ms: time("apply_timeout", asked.apply_timeout)?.unwrap_or(whole_ms(APPLY)),
        services: asked.services,
        check_ms: time("check_within", asked.check_within)?.unwrap_or_default(),
    })
}

fn time(what: &str, time: Option<prost_types::Duration>) -> Result<Option<Ms>, Status> {
    let wrong = || invalid(format!("`{what}` is no time from 0 to 7 days"));
    let time = time.map(|time| Duration::try_from(time).map_err(|_| wrong())).transpose()?;
    match time {
        Some(time) if time > LONGEST => Err(wrong()),
        time => Ok(time.map(whole_ms)),
    }
}

fn steer(
    rollout: &mut Rollout,
    action: Action,
    now: Ms,
    who: &str,
    version: u64,
) -> Result<(), RolloutError> {
    if rollout.is_ended() {
        return Err(RolloutError::Ended(rollout.id.clone()));
    }
    match (action, &rollout.state) {
        (Action::Pause, Stands::Running { .. }) => {
            rollout.pause(now, format!("paused by {who}"));
        }
        (Action::Resume, Stands::Paused { .. }) => rollout.resume(now, who, version),
        (Action::Resume, _) => return Err(RolloutError::NotPaused(rollout.id.clone())),
        (Action::Abort, Stands::Running { .. } | Stands::Paused { .. }) => rollout.abort(now, who, false),
        (Action::AbortAndKeep, _) => rollout.abort(now, who, true),
        // It is so already, or on its way.
        _ => {}
    }
    Ok(())
}

impl From<RolloutError> for Status {
    fn from(error: RolloutError) -> Self {
        match error {
            RolloutError::Write(error) => error.into(),
            RolloutError::Backend(error) => error.into(),
            RolloutError::Unknown(_) => Self::not_found(error.to_string()),
            RolloutError::Ended(_) | RolloutError::NotPaused(_) | RolloutError::Busy { .. } => {
                Self::failed_precondition(error.to_string())
            }
            RolloutError::TooMany => over("rollouts", error.to_string(), None),
        }
    }
}

fn wire_rollout(rollout: &Rollout) -> wire::Rollout {
    let (state, reason, until) = match &rollout.state {
        Stands::Running { phase: Phase::Writing } => (State::Writing, "", None),
        Stands::Running { phase: Phase::Applying { until_ms } } => (State::Applying, "", Some(*until_ms)),
        Stands::Running { phase: Phase::Holding { until_ms, .. } } => (State::Holding, "", Some(*until_ms)),
        Stands::Paused { why } => (State::Paused, why.as_str(), None),
        Stands::Undoing { why, .. } => (State::RollingBack, why.as_str(), None),
        Stands::Ended { end: Ending::Done, .. } => (State::Done, "", None),
        Stands::Ended { end: Ending::RolledBack, why, .. } => (State::RolledBack, why.as_str(), None),
        Stands::Ended { end: Ending::Aborted, why, .. } => (State::Aborted, why.as_str(), None),
    };
    let ended = match rollout.state {
        Stands::Ended { at_ms, .. } => Some(at(at_ms)),
        _ => None,
    };
    let plan = &rollout.plan;
    let span = |ms: Ms| prost_types::Duration::try_from(Duration::from_millis(ms)).ok();
    let event = |event: &crate::rollout::Event| wire::RolloutEvent {
        at: Some(at(event.at_ms)),
        text: event.text.clone(),
    };
    wire::Rollout {
        id: rollout.id.clone(),
        plan: Some(wire::StartRolloutRequest {
            flag: plan.flag.clone(),
            service: plan.service.clone(),
            on: plan.on.clone(),
            off: plan.off.clone(),
            steps: plan.steps.clone(),
            hold: span(plan.hold_ms),
            apply_timeout: span(plan.apply_ms),
            services: plan.services.clone(),
            check_within: span(plan.check_ms).filter(|_| plan.check_ms > 0),
        }),
        state: state.into(),
        reason: reason.to_owned(),
        step: u32::try_from(rollout.step).unwrap_or(u32::MAX),
        version_before: rollout.before,
        version: rollout.version,
        author: rollout.author.clone(),
        started_at: Some(at(rollout.started_ms)),
        ended_at: ended,
        until: until.map(at),
        events: rollout.events.iter().map(event).collect(),
    }
}

/// A moment, for the wire.
fn at(ms: Ms) -> prost_types::Timestamp {
    let seconds = i64::try_from(ms / 1_000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(ms % 1_000 * 1_000_000).unwrap_or_default();
    prost_types::Timestamp { seconds, nanos }
}

fn whole_ms(time: Duration) -> Ms {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
