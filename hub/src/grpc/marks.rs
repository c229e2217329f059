//! What is due on a connection: bits for each of its parts.
//!
//! Ten thousand streams are woken by one change. So what wakes them sets bits that lie
//! beside each other, those of a connection on one topic at once, and only the first bit
//! of a connection wakes its task.

use crate::fanout::GroupWaker;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// HTTP/2 itself has something to do.
pub(super) const TRANSPORT: u64 = 1;

/// The signal to drain may have come.
pub(super) const DRAIN: u64 = 1 << 1;

/// The connection's own bits that are of no block.
const OWN: u64 = TRANSPORT | DRAIN;

/// How many bits blocks have among the connection's own: they share them in turn.
const SLOTS: usize = 61;

/// The bit of the first slot.
const FIRST_SLOT: u32 = OWN.trailing_ones();

/// The connection or the block is being run: whatever is marked meanwhile is seen after
/// that, and nobody has to be told.
const RUNS: u64 = 1 << 63;

/// Calls of one block, each of which has two bits.
const CALLS: usize = 31;

/// The bits of all of them.
const ALL: u64 = (1 << (2 * CALLS)) - 1;

/// A call has something to do; and its topic has something for it, which is one bit
/// further.
const DUE: u64 = 1;
const STEP: u64 = 2;

/// The second bits of all calls of a block.
const STEPS: u64 = ALL / 3 * STEP;

/// All marks of a connection.
pub(super) struct Marks {
    shared: Arc<Shared>,
    /// As many as the most calls at a time have needed.
    blocks: Vec<Home>,
}

/// How a call is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// It has something to do.
    pub(super) is_due: bool,
    /// Its topic has something new.
    pub(super) has_step: bool,
}

/// What is due in one turn of a connection.
pub(super) struct Turn(u64);

/// The calls of a block that are marked, in their order.
pub(super) struct Marked {
    block: usize,
    bits: u64,
}

/// What wakes a connection, and its first block: most connections have no other. They
/// are found by one access of memory.
#[repr(align(64))]
#[derive(Default)]
struct Shared {
    own: AtomicU64,
    first: AtomicU64,
    /// Wakes the task of the connection.
    task: Mutex<Option<Waker>>,
}

/// A block that is not the first.
struct Block {
    bits: AtomicU64,
    number: usize,
    shared: Arc<Shared>,
}

/// Where the bits of a block are.
#[derive(Clone)]
enum Home {
    First(Arc<Shared>),
    Later(Arc<Block>),
}

/// Sets a bit of a block.
struct Setter {
    home: Home,
    bit: u64,
}

/// Sets a bit of the connection's own.
struct OwnSetter {
    shared: Arc<Shared>,
    bit: u64,
}

impl Default for Marks {
    fn default() -> Self {
        let shared = Arc::<Shared>::default();
        shared.own.store(RUNS, Ordering::SeqCst);
        Self { shared, blocks: Vec::new() }
    }
}

impl Marks {
    /// What sets a bit of the connection's own, which is set.
    pub(super) fn own(&self, bit: u64) -> Waker {
        self.shared.mark_own(bit);
        Arc::new(OwnSetter { shared: Arc::clone(&self.shared), bit }).into()
    }

    /// What marks a call as due, which it is.
    pub(super) fn of_call(&mut self, index: usize) -> Waker {
        for number in self.blocks.len()..=index / CALLS {
            let home = match number {
                0 => Home::First(Arc::clone(&self.shared)),
                _ => Home::Later(Arc::new(Block {
                    bits: AtomicU64::new(0),
                    number,
                    shared: Arc::clone(&self.shared),
                })),
            };
            self.blocks.push(home);
        }
        let setter = Arc::new(Setter { home: self.blocks[index / CALLS].clone(), bit: DUE << shift(index) });
        setter.wake_by_ref();
        setter.into()
    }

    /// What marks a call as having something from its topic, together with its
    /// neighbours, and its bit there. It has to be a call of [`Marks::of_call`].
    pub(super) fn group_of(&self, index: usize) -> (Arc<dyn GroupWaker>, u64) {
        let group: Arc<dyn GroupWaker> = match &self.blocks[index / CALLS] {
            Home::First(shared) => Arc::clone(shared) as _,
            Home::Later(block) => Arc::clone(block) as _,
        };
        (group, STEP << shift(index))
    }

    /// Whether nothing is due. Then `task` is woken when something is: there is no gap
    /// between the two.
    pub(super) fn rest(&self, task: &Waker) -> bool {
        if self.is_due() {
            return false;
        }
        self.shared.wake_from_now_on(task);
        let rests = self.shared.own.compare_exchange(RUNS, 0, Ordering::SeqCst, Ordering::SeqCst);
        // It may have rested before.
        matches!(rests, Ok(_) | Err(0))
    }

    /// Whether something is due.
    fn is_due(&self) -> bool {
        self.shared.own.load(Ordering::SeqCst) & !RUNS != 0
    }

    /// What is due, which is cleared: what is marked from here on is due in the next
    /// turn. Nobody is woken until the connection [rests](Marks::rest).
    pub(super) fn turn(&self) -> Turn {
        Turn(self.shared.own.swap(RUNS, Ordering::SeqCst))
    }

    /// The connection's own bits that came with the turn or in it, which are cleared.
    pub(super) fn own_of(&self, turn: &Turn) -> u64 {
        (turn.0 | self.shared.own.fetch_and(!OWN, Ordering::SeqCst)) & OWN
    }

    /// The blocks that are due in a turn.
    pub(super) fn blocks(&self, turn: &Turn) -> impl Iterator<Item = usize> + use<> {
        let (mut slots, all) = ((turn.0 & !(OWN | RUNS)) >> FIRST_SLOT, self.blocks.len());
        std::iter::from_fn(move || {
            if slots == 0 {
                return None;
            }
            let slot = slots.trailing_zeros() as usize;
            slots &= slots - 1;
            Some((slot..all).step_by(SLOTS))
        })
        .flatten()
    }

    /// The calls of a block that are marked, whose marks are cleared: what comes from
    /// here on sets them again. The block has to be [left](Marks::leave) then.
    pub(super) fn enter(&self, block: usize) -> Marked {
        let bits = self.blocks.get(block).map_or(0, |block| block.bits().swap(RUNS, Ordering::SeqCst));
        Marked { block, bits: bits & ALL }
    }

    /// Makes a block due that has been marked since it was entered.
    pub(super) fn leave(&self, block: usize) {
        let Some(home) = self.blocks.get(block) else { return };
        if home.bits().fetch_and(!RUNS, Ordering::SeqCst) != RUNS {
            home.shared().mark_own(slot_of(block));
        }
    }
}

impl Marked {
    /// The same, but that those are due which have something from their topic and cannot
    /// take it as a step.
    pub(super) fn step_if(mut self, can_step: impl Fn(usize) -> bool) -> Self {
        let mut steps = self.bits & STEPS;
        while steps != 0 {
            let step = steps & steps.wrapping_neg();
            if !can_step(self.block * CALLS + step.trailing_zeros() as usize / 2) {
                self.bits |= step >> 1;
            }
            steps ^= step;
        }
        self
    }
}

impl Iterator for Marked {
    type Item = (usize, Mark);

    fn next(&mut self) -> Option<(usize, Mark)> {
        if self.bits == 0 {
            return None;
        }
        let call = self.bits.trailing_zeros() as usize / 2;
        let mark = self.bits >> shift(call);
        self.bits &= !((DUE | STEP) << shift(call));
        let mark = Mark { is_due: mark & DUE != 0, has_step: mark & STEP != 0 };
        Some((self.block * CALLS + call, mark))
    }
}

/// Where the bits of a call are in those of its block.
fn shift(index: usize) -> usize {
    index % CALLS * 2
}

/// The bit of a block among the connection's own.
fn slot_of(block: usize) -> u64 {
    1 << (FIRST_SLOT as usize + block % SLOTS)
}

impl Shared {
    fn mark_own(&self, bit: u64) {
        // Whoever set the first bit has woken the connection, and while it runs it looks.
        if self.own.fetch_or(bit, Ordering::SeqCst) == 0 {
            let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(task) = &*task {
                task.wake_by_ref();
            }
        }
    }

    fn wake_from_now_on(&self, task: &Waker) {
        let mut known = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_some_and(|known| known.will_wake(task)) {
            return;
        }
        let former = known.replace(task.clone());
        drop(known);
        drop(former);
    }
}

/// Sets bits of a block.
fn mark(bits: &AtomicU64, marked: u64, number: usize, shared: &Shared) {
    // Whoever set the first bit of a block has told the connection.
    if bits.fetch_or(marked, Ordering::SeqCst) == 0 {
        shared.mark_own(slot_of(number));
    }
}

impl Home {
    fn bits(&self) -> &AtomicU64 {
        match self {
            Self::First(shared) => &shared.first,
            Self::Later(block) => &block.bits,
        }
    }

    fn shared(&self) -> &Shared {
        match self {
            Self::First(shared) => shared,
            Self::Later(block) => &block.shared,
        }
    }

    fn mark(&self, marked: u64) {
        match self {
            Self::First(shared) => shared.wake(marked),
            Self::Later(block) => GroupWaker::wake(&**block, marked),
        }
    }
}

impl GroupWaker for Shared {
    fn wake(&self, members: u64) {
        mark(&self.first, members, 0, self);
    }
}

impl GroupWaker for Block {
    fn wake(&self, members: u64) {
        mark(&self.bits, members, self.number, &self.shared);
    }
}

impl Wake for Setter {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.home.mark(self.bit);
    }
}

impl Wake for OwnSetter {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.shared.mark_own(self.bit);
    }
}

#[cfg(test)]
mod tests;
