//! What the owner has been asked to read again, of one backend.

use super::pace::Pace;
use crate::backend::Urgency;
use crate::limits::PENDING_HINTS;
use crate::source::Address;
use confhub_proto::ServiceName;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;
use tokio::time::Instant;

/// How long after a hint that showed nothing new the key is read once more, where
/// a store may have answered from before the change. Parameter Store is
/// consistent well within this time, as a rule.
const CONFIRM: Duration = Duration::from_millis(500);

/// Requests merge here until the owner comes to read.
#[derive(Debug)]
pub(super) struct Pending {
    hints: HashMap<Address, Ask>,
    services: BTreeMap<ServiceName, u64>,
    everything: Option<Wide>,
    /// Counts the requests; each gets its number.
    tickets: u64,
    /// For stores whose reads cost: spaces the reads of one key.
    pace: Option<Pace>,
    /// Tickets that are being read for, smallest first, and how many jobs do.
    reading: BTreeMap<u64, usize>,
    /// Hinted addresses that are being read.
    under_way: HashSet<Address>,
    /// There were too many hints to remember: every address may have changed, until
    /// everything has been read.
    flooded: bool,
    /// The same of a reading that is under way.
    flood_under_way: bool,
}

/// One key to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ask {
    /// The earliest request that it answers.
    ticket: u64,
    /// Not before this moment.
    due: Instant,
    /// Why.
    pub(super) why: Why,
}

/// Why a key is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    /// A hint came.
    Hint,
    /// A hint had come, and the key had not changed: perhaps the store had
    /// answered from before the change.
    Confirm,
    /// A reading of everything left it open what is there.
    Doubt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wide {
    ticket: u64,
    urgency: Urgency,
}

/// What to read next.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) what: What,
    /// The earliest request that it answers.
    ticket: u64,
}

/// What a job reads.
#[derive(Debug)]
pub(super) enum What {
    /// These addresses.
    Some(HashMap<Address, Ask>),
    /// All entries of a service.
    Service(ServiceName),
    /// Everything.
    Everything {
        /// How soon.
        urgency: Urgency,
        /// What was hinted beside.
        hinted: HashMap<Address, Ask>,
        /// Services that were asked for beside.
        services: BTreeMap<ServiceName, u64>,
        /// The request to read everything.
        asked: u64,
        /// It stands for more hints than could be remembered.
        flood: bool,
    },
}

impl What {
    /// The hinted addresses that it reads.
    pub(super) fn hinted(&self) -> impl Iterator<Item = &Address> {
        let hints = match self {
            Self::Some(hints) | Self::Everything { hinted: hints, .. } => Some(hints),
            Self::Service(_) => None,
        };
        let hints = hints.into_iter().flatten();
        hints.filter(|(_, ask)| ask.why == Why::Hint).map(|(address, _)| address)
    }

    /// Whether it is more than a few addresses, and may take a while.
    pub(super) fn is_wide(&self) -> bool {
        !matches!(self, Self::Some(_))
    }
}

impl Pending {
    pub(super) fn new(metered: bool) -> Self {
        Self {
            hints: HashMap::new(),
            services: BTreeMap::new(),
            everything: None,
            tickets: 0,
            pace: metered.then(Pace::default),
            reading: BTreeMap::new(),
            under_way: HashSet::new(),
            flooded: false,
            flood_under_way: false,
        }
    }

    /// Asks to read addresses, and returns the number of the request.
    pub(super) fn hint(&mut self, addresses: impl IntoIterator<Item = Address>) -> u64 {
        self.tickets += 1;
        let (ticket, now) = (self.tickets, Instant::now());
        for address in addresses {
            self.ask(address, Ask { ticket, due: now, why: Why::Hint });
        }
        self.bound_hints();
        ticket
    }

    /// Has everything read in place of too many hints, and not less soon than them.
    fn bound_hints(&mut self) {
        if self.hints.len() <= PENDING_HINTS {
            return;
        }
        let oldest = self.hints.drain().map(|(_, ask)| ask.ticket).min();
        self.sweep(Urgency::Demand);
        self.flooded = true;
        if let (Some(wide), Some(oldest)) = (&mut self.everything, oldest) {
            wide.ticket = wide.ticket.min(oldest);
        }
    }

    /// Reads an address again a little later. Nobody waits for it.
    pub(super) fn again(&mut self, address: Address, why: Why) {
        let after = if why == Why::Confirm { CONFIRM } else { Duration::ZERO };
        self.ask(address, Ask { ticket: u64::MAX, due: Instant::now() + after, why });
    }

    fn ask(&mut self, address: Address, ask: Ask) {
        let pace = &mut self.pace;
        let mut spaced = |address: &Address, due| pace.as_mut().map_or(due, |pace| pace.next(address, due));
        match self.hints.get_mut(&address) {
            // A read of it is spaced already, unless it was put off to be the last.
            Some(known) => {
                if known.why == Why::Confirm && ask.why == Why::Hint {
                    known.due = known.due.min(spaced(&address, ask.due));
                }
                known.ticket = known.ticket.min(ask.ticket);
                known.why = known.why.min(ask.why);
            }
            None => {
                let due = spaced(&address, ask.due);
                self.hints.insert(address, Ask { due, ..ask });
            }
        }
    }

    /// Asks to read everything, and returns the number of the request. All
    /// requests that wait are answered by one reading.
    pub(super) fn sweep(&mut self, urgency: Urgency) -> u64 {
        match &mut self.everything {
            Some(wide) => {
                if urgency == Urgency::Demand {
                    wide.urgency = urgency;
                }
                wide.ticket
            }
            None => {
                self.tickets += 1;
                let ticket = self.tickets;
                self.everything = Some(Wide { ticket, urgency });
                ticket
            }
        }
    }

    /// Asks to read all entries of a service, and returns the number of the request.
    pub(super) fn service(&mut self, service: ServiceName) -> u64 {
        if let Some(ticket) = self.services.get(&service) {
            return *ticket;
        }
        self.tickets += 1;
        self.services.insert(service, self.tickets);
        self.tickets
    }

    /// Whether something is known to have changed there that nobody has read yet.
    pub(super) fn expects(&self, address: &Address) -> bool {
        let hinted = self.hints.get(address).is_some_and(|ask| ask.why == Why::Hint);
        hinted || self.under_way.contains(address) || self.flooded || self.flood_under_way
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.hints.is_empty() && self.services.is_empty() && self.everything.is_none()
    }

    /// When the next job is due, if there is one of the kinds that may be taken.
    pub(super) fn due(&self, wide: bool, listed: bool) -> Option<Instant> {
        if wide && (self.everything.is_some() || !self.services.is_empty()) {
            return Some(Instant::now());
        }
        let earliest = || self.hints.values().map(|ask| ask.due).min();
        if listed { earliest() } else { None }
    }

    /// The next job that is due. A reading of everything takes the hints with it
    /// that wait, unless they may be read beside it.
    pub(super) fn take(&mut self, wide: bool, listed: bool) -> Option<Job> {
        let now = Instant::now();
        let job = if let Some(hints) = listed.then(|| self.due_hints(now)).filter(|hints| !hints.is_empty())
            && (self.everything.is_none() || self.pace.is_some())
        {
            let ticket = hints.values().map(|ask| ask.ticket).min().unwrap_or(u64::MAX);
            self.hints.retain(|address, _| !hints.contains_key(address));
            Job { what: What::Some(hints), ticket }
        } else if let Some(everything) = wide.then(|| self.everything.take()).flatten() {
            let alone = self.pace.is_none();
            let hinted = if alone { std::mem::take(&mut self.hints) } else { HashMap::new() };
            let tickets = hinted.values().map(|ask| ask.ticket).chain(self.services.values().copied());
            let ticket = tickets.chain([everything.ticket]).min().unwrap_or(everything.ticket);
            let services = std::mem::take(&mut self.services);
            let Wide { urgency, ticket: asked } = everything;
            let flood = std::mem::take(&mut self.flooded);
            self.flood_under_way = flood;
            Job { what: What::Everything { urgency, hinted, services, asked, flood }, ticket }
        } else {
            let (service, ticket) = wide.then(|| self.services.pop_first()).flatten()?;
            Job { what: What::Service(service), ticket }
        };
        *self.reading.entry(job.ticket).or_default() += 1;
        self.under_way.extend(job.what.hinted().cloned());
        Some(job)
    }

    fn due_hints(&self, now: Instant) -> HashMap<Address, Ask> {
        let due = self.hints.iter().filter(|(_, ask)| ask.due <= now);
        due.map(|(address, ask)| (address.clone(), *ask)).collect()
    }

    /// Takes note that a job was done.
    pub(super) fn done(&mut self, job: &Job) {
        for address in job.what.hinted() {
            self.under_way.remove(address);
        }
        if matches!(job.what, What::Everything { flood: true, .. }) {
            self.flood_under_way = false;
        }
        if let Some(count) = self.reading.get_mut(&job.ticket) {
            *count -= 1;
            if *count == 0 {
                self.reading.remove(&job.ticket);
            }
        }
    }

    /// Puts a job back that could not be done.
    pub(super) fn put_back(&mut self, job: Job) {
        self.done(&job);
        match job.what {
            What::Some(hints) => self.put_back_hints(hints),
            What::Service(service) => self.put_back_service(service, job.ticket),
            What::Everything { urgency, hinted, services, asked, flood } => {
                self.flooded |= flood;
                let sooner = self.everything.is_some_and(|wide| wide.urgency == Urgency::Demand);
                let urgency = if sooner { Urgency::Demand } else { urgency };
                // Whoever asked meanwhile is answered by the same, later reading.
                let ticket = self.everything.map_or(asked, |wide| wide.ticket.min(asked));
                self.everything = Some(Wide { ticket, urgency });
                for (service, ticket) in services {
                    self.put_back_service(service, ticket);
                }
                self.put_back_hints(hinted);
            }
        }
    }

    fn put_back_service(&mut self, service: ServiceName, ticket: u64) {
        let known = self.services.entry(service).or_insert(ticket);
        *known = ticket.min(*known);
    }

    fn put_back_hints(&mut self, hints: HashMap<Address, Ask>) {
        for (address, ask) in hints {
            let known = self.hints.entry(address).or_insert(ask);
            known.ticket = known.ticket.min(ask.ticket);
            known.why = known.why.min(ask.why);
        }
        self.bound_hints();
    }

    /// All requests up to this number have been answered.
    pub(super) fn answered(&self) -> u64 {
        let hints = self.hints.values().map(|ask| ask.ticket);
        let services = self.services.values().copied();
        let wide = self.everything.map(|wide| wide.ticket);
        let reading = self.reading.keys().copied();
        let open = hints.chain(services).chain(wide).chain(reading).min();
        open.map_or(self.tickets, |open| (open - 1).min(self.tickets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use confhub_proto::Key;

    fn addresses(count: usize) -> Vec<Address> {
        (0..count).map(|i| Address { service: None, key: Key::new(&format!("k{i}")).unwrap() }).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_wait_share_one_reading_and_later_ones_do_not() {
        let mut pending = Pending::new(false);
        let first = pending.sweep(Urgency::Sweep);
        assert_eq!(pending.sweep(Urgency::Demand), first);
        let job = pending.take(true, true).unwrap();
        assert!(matches!(job.what, What::Everything { urgency: Urgency::Demand, .. }), "{job:?}");
        let second = pending.sweep(Urgency::Demand);
        assert!(second > first);
        pending.done(&job);
        assert!((first..second).contains(&pending.answered()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_never_answered_by_a_reading_that_began_before_it_or_failed() {
        let mut pending = Pending::new(false);
        let hint = pending.hint(addresses(1));
        let job = pending.take(true, true).unwrap();
        let later = pending.hint(addresses(1));
        assert!(pending.answered() < hint);
        pending.put_back(job);
        assert!(pending.answered() < hint, "the reading failed");
        let job = pending.take(true, true).unwrap();
        pending.done(&job);
        assert!(pending.answered() >= later);

        let many = pending.hint(addresses(PENDING_HINTS + 1));
        let job = pending.take(true, true).unwrap();
        assert!(job.what.is_wide(), "too many hints make a reading of everything");
        pending.put_back(job);
        let sweep = pending.sweep(Urgency::Demand);
        assert!(pending.answered() < many.min(sweep));
        let job = pending.take(true, true).unwrap();
        pending.done(&job);
        assert!(pending.answered() >= sweep.max(many) && pending.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn hints_that_were_too_many_to_remember_are_not_answered_before_everything_is_read() {
        let mut pending = Pending::new(true);
        let first = pending.hint(addresses(1));
        let listed = pending.take(false, true).unwrap();
        let many = pending.hint(addresses(PENDING_HINTS / 2));
        let more =
            (0..PENDING_HINTS).map(|i| Address { service: None, key: Key::new(&format!("m{i}")).unwrap() });
        let last = pending.hint(more);
        assert!(many < last);
        pending.done(&listed);
        assert!((first..many).contains(&pending.answered()), "{}", pending.answered());
        assert!(pending.expects(&addresses(PENDING_HINTS / 2)[7]), "it may have changed");
        let wide = pending.take(true, true).unwrap();
        assert!(pending.expects(&addresses(1)[0]) && pending.answered() < many);
        pending.put_back(wide);
        assert!(pending.expects(&addresses(1)[0]) && pending.answered() < many);
        let wide = pending.take(true, true).unwrap();
        pending.done(&wide);
        assert!(!pending.expects(&addresses(1)[0]) && pending.answered() >= last);
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_hints_for_one_key_within_a_second_cause_five_reads_at_most() {
        let (mut pending, mut reads) = (Pending::new(true), 0);
        for _ in 0..1_000 {
            pending.hint(addresses(1));
            while let Some(job) = pending.take(true, true) {
                reads += 1;
                pending.done(&job);
            }
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        reads += usize::from(pending.take(true, true).is_some());
        assert!((2..=5).contains(&reads), "{reads}");
    }

    #[tokio::test(start_paused = true)]
    async fn where_reads_cost_hints_are_read_beside_a_reading_of_everything() {
        let mut pending = Pending::new(true);
        pending.sweep(Urgency::Sweep);
        let hint = pending.hint(addresses(1));
        let listed = pending.take(true, true).unwrap();
        let wide = pending.take(true, false).unwrap();
        assert!(!listed.what.is_wide() && wide.what.is_wide());
        assert!(pending.expects(&addresses(1)[0]));
        pending.done(&listed);
        assert!(!pending.expects(&addresses(1)[0]));
        assert!(pending.answered() < hint, "the earlier request is still being answered");
        pending.done(&wide);
        assert!(pending.answered() >= hint);
    }
}
