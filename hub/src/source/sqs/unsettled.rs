//! Messages whose hints are not applied yet.

use confhub_proto::TenantId;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Most messages that are received and not deleted yet: about 1 kB each, and a
/// second of a heavy burst. More would only wait here rather than in the queue.
pub(super) const UNSETTLED: usize = 1_000;

/// Most of them that wait for their tenants. What comes beyond is deleted at once:
/// the hint is with the tenant's owner, who does not forget it. So receiving goes on
/// though a store does not answer, and the changes of the others arrive.
pub(super) const WAITING: usize = UNSETTLED - 100;

/// Most of them that wait for one tenant, so that it does not take the places of
/// all others. What comes beyond is deleted likewise.
pub(super) const OF_ONE_TENANT: usize = 100;

/// How long a message is kept hidden while its hints are under way. Then it is
/// left to the queue, which gives it again: the owner of its tenant has not
/// forgotten the hint either.
pub(super) const HELD: Duration = Duration::from_secs(15 * 60);

/// Names a message among those that are unsettled.
pub(super) type Ticket = u64;

/// A message whose hints are under way.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) receipt: String,
    /// When it came into the queue; `None` too if its hints are not waited for.
    pub(super) sent: Option<SystemTime>,
    tenants: Vec<TenantId>,
}

/// The bookkeeping of messages whose hints are under way.
#[derive(Debug)]
pub(super) struct Unsettled {
    /// When a message has to be hidden again: half of its time before it shows.
    half: Duration,
    next: Ticket,
    held: HashMap<Ticket, Held>,
    of_tenant: HashMap<TenantId, usize>,
    /// When each has to be hidden again, the first one first. Those that are
    /// settled meanwhile are still in here.
    due: VecDeque<(Instant, Ticket)>,
}

impl Unsettled {
    pub(super) fn new(visibility: Duration) -> Self {
        let half = (visibility / 2).max(Duration::from_millis(500));
        let (held, of_tenant, due) = (HashMap::new(), HashMap::new(), VecDeque::new());
        Self { half, next: 0, held, of_tenant, due }
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether one more message may wait for a tenant.
    pub(super) fn admits(&self, tenant: &TenantId) -> bool {
        let of_tenant = self.of_tenant.get(tenant).copied().unwrap_or_default();
        self.held.len() < WAITING && of_tenant < OF_ONE_TENANT
    }

    /// Adds a message that waits for `tenants`.
    pub(super) fn add(
        &mut self,
        receipt: String,
        sent: Option<SystemTime>,
        tenants: Vec<TenantId>,
    ) -> Ticket {
        let ticket = self.next;
        self.next += 1;
        for tenant in &tenants {
            *self.of_tenant.entry(tenant.clone()).or_default() += 1;
        }
        self.held.insert(ticket, Held { receipt, sent, tenants });
        self.due.push_back((Instant::now() + self.half, ticket));
        ticket
    }

    /// Takes a message out: its hints are applied, or it is left to the queue.
    pub(super) fn settle(&mut self, ticket: Ticket) -> Option<Held> {
        let held = self.held.remove(&ticket)?;
        for tenant in &held.tenants {
            if let Some(count) = self.of_tenant.get_mut(tenant) {
                *count -= 1;
                if *count == 0 {
                    self.of_tenant.remove(tenant);
                }
            }
        }
        Some(held)
    }

    /// When the next message has to be hidden again.
    pub(super) fn next_due(&mut self) -> Option<Instant> {
        while let Some((at, ticket)) = self.due.front() {
            if self.held.contains_key(ticket) {
                return Some(*at);
            }
            self.due.pop_front();
        }
        None
    }

    /// The receipts of the messages that have to be hidden again by now.
    pub(super) fn due(&mut self) -> Vec<String> {
        let now = Instant::now();
        let mut receipts = Vec::new();
        while self.next_due().is_some_and(|at| at <= now) {
            let Some((_, ticket)) = self.due.pop_front() else { break };
            if let Some(held) = self.held.get(&ticket) {
                receipts.push(held.receipt.clone());
                self.due.push_back((now + self.half, ticket));
            }
        }
        receipts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const VISIBILITY: Duration = Duration::from_secs(30);

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_is_hidden_again_at_half_its_time_until_it_is_settled() {
        let mut unsettled = Unsettled::new(VISIBILITY);
        let slow = unsettled.add("slow".to_owned(), None, vec![tenant("a")]);
        advance(Duration::from_secs(5)).await;
        let quick = unsettled.add("quick".to_owned(), None, vec![tenant("a")]);
        assert!(unsettled.due().is_empty());
        advance(Duration::from_secs(10)).await;
        assert_eq!(unsettled.due(), ["slow"]);
        assert_eq!(unsettled.settle(quick).map(|held| held.receipt).as_deref(), Some("quick"));
        assert_eq!(unsettled.next_due(), Some(Instant::now() + VISIBILITY / 2));
        advance(VISIBILITY / 2).await;
        assert_eq!(unsettled.due(), ["slow"]);
        assert!(unsettled.settle(slow).is_some() && unsettled.settle(slow).is_none());
        assert!(unsettled.len() == 0 && unsettled.next_due().is_none());
        assert!(unsettled.of_tenant.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_tenants_wait_there_is_room_to_receive() {
        let mut unsettled = Unsettled::new(VISIBILITY);
        for n in 0..10 * UNSETTLED {
            let waits = vec![tenant(&format!("t{n}"))];
            let admitted: Vec<_> = waits.into_iter().filter(|tenant| unsettled.admits(tenant)).collect();
            let ticket = unsettled.add(String::new(), None, admitted.clone());
            if admitted.is_empty() {
                // It waits for nobody, and is settled at once.
                unsettled.settle(ticket);
            }
            assert!(unsettled.len() <= WAITING);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_tenant_does_not_take_every_place() {
        let mut unsettled = Unsettled::new(VISIBILITY);
        let mut tickets = Vec::new();
        while unsettled.admits(&tenant("stuck")) {
            tickets.push(unsettled.add(String::new(), None, vec![tenant("stuck"), tenant("other")]));
        }
        assert_eq!(tickets.len(), OF_ONE_TENANT);
        assert!(unsettled.admits(&tenant("third")));
        unsettled.settle(tickets[0]);
        assert!(unsettled.admits(&tenant("stuck")));
    }
}
