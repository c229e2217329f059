//! What is due on a connection: a bit for each of its parts.
//!
//! Ten thousand streams are woken by one change. So a waker sets a bit that lies beside
//! those of its neighbours, and only the first bit of a block takes a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// HTTP/2 itself has something to do.
pub(super) const TRANSPORT: u64 = 1;

/// The signal to drain may have come.
pub(super) const DRAIN: u64 = 2;

/// Calls of one block: each has two bits, and one bit is the block's.
const CALLS: usize = 31;

/// The calls of the block are being run: whatever is marked meanwhile is seen after that.
const RUNS: u64 = 1 << 63;

/// The bit of a call that has something to do, and the one beside it for what HTTP/2 has
/// to say of the call.
const DUE: u64 = 1;
const NEWS: u64 = 2;

/// All marks of a connection.
pub(super) struct Marks {
    shared: Arc<Shared>,
    own: Arc<Block>,
    /// As many as the most calls at a time have needed.
    blocks: Vec<Arc<Block>>,
}

/// How a call is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// It has something to do.
    pub(super) is_due: bool,
    /// HTTP/2 has something to say of it.
    pub(super) has_news: bool,
}

/// The mark of what HTTP/2 has to say of a call.
pub(super) struct News {
    setter: Arc<Setter>,
    waker: Waker,
}

#[derive(Default)]
struct Shared(Mutex<Parts>);

#[derive(Default)]
struct Parts {
    /// The blocks that have a bit.
    due: Vec<usize>,
    /// Wakes the task of the connection, while that rests.
    task: Option<Waker>,
}

struct Block {
    bits: AtomicU64,
    /// `None`: it is the connection's own.
    number: Option<usize>,
    shared: Arc<Shared>,
}

/// Sets a bit of a block.
struct Setter {
    block: Arc<Block>,
    bit: u64,
}

impl Default for Marks {
    fn default() -> Self {
        let shared = Arc::<Shared>::default();
        Self { own: Block::new(None, &shared), blocks: Vec::new(), shared }
    }
}

impl Marks {
    /// What sets a bit of the connection's own, which is set.
    pub(super) fn own(&self, bit: u64) -> Waker {
        set(Setter::new(&self.own, bit))
    }

    /// What marks a call as due, which it is.
    pub(super) fn of_call(&mut self, index: usize) -> Waker {
        for number in self.blocks.len()..=index / CALLS {
            self.blocks.push(Block::new(Some(number), &self.shared));
        }
        set(self.setter(index, DUE))
    }

    /// The mark of what HTTP/2 has to say of a call that has one of its own.
    pub(super) fn news_of(&self, index: usize) -> News {
        let setter = self.setter(index, NEWS);
        News { waker: Arc::clone(&setter).into(), setter }
    }

    fn setter(&self, index: usize, bit: u64) -> Arc<Setter> {
        Setter::new(&self.blocks[index / CALLS], bit << (index % CALLS * 2))
    }

    /// Whether something is due, the blocks of which are moved to `blocks`, which is
    /// empty. If nothing is, `task` is woken when something will be: there is no gap
    /// between the two.
    pub(super) fn due(&self, blocks: &mut Vec<usize>, task: &Waker) -> bool {
        let mut parts = self.shared.lock();
        std::mem::swap(&mut parts.due, blocks);
        let is_due = !blocks.is_empty() || self.own.bits.load(Ordering::SeqCst) != 0;
        parts.task = (!is_due).then(|| task.clone());
        is_due
    }

    /// The calls of a block that are marked, whose marks are cleared: what comes from
    /// here on sets them again. The block has to be [left](Marks::leave) then.
    pub(super) fn enter(&self, block: usize) -> impl Iterator<Item = (usize, Mark)> + use<> {
        let bits = self.blocks.get(block).map_or(0, |block| block.bits.swap(RUNS, Ordering::SeqCst));
        let mut bits = bits & !RUNS;
        std::iter::from_fn(move || {
            if bits == 0 {
                return None;
            }
            let call = bits.trailing_zeros() / 2;
            let mark = bits >> (call * 2);
            bits &= !((DUE | NEWS) << (call * 2));
            let mark = Mark { is_due: mark & DUE != 0, has_news: mark & NEWS != 0 };
            Some((block * CALLS + call as usize, mark))
        })
    }

    /// Makes a block due that has been marked since it was entered.
    pub(super) fn leave(&self, block: usize) {
        let Some(Block { bits, .. }) = self.blocks.get(block).map(|block| &**block) else { return };
        if bits.fetch_and(!RUNS, Ordering::SeqCst) != RUNS {
            self.shared.lock().due.push(block);
        }
    }

    /// The connection's own bits, which are cleared.
    pub(super) fn take_own(&self) -> u64 {
        self.own.bits.swap(0, Ordering::SeqCst)
    }
}

impl News {
    /// What sets it.
    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Whether it is set, before it is cleared.
    pub(super) fn take(&self) -> bool {
        let Setter { block, bit } = &*self.setter;
        // Nearly always it is not, and a look is cheaper.
        block.bits.load(Ordering::SeqCst) & bit != 0
            && block.bits.fetch_and(!bit, Ordering::SeqCst) & bit != 0
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Parts> {
        // Nothing under this lock stops half way: a poisoned one guards whole data.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Block {
    fn new(number: Option<usize>, shared: &Arc<Shared>) -> Arc<Self> {
        Arc::new(Self { bits: AtomicU64::new(0), number, shared: Arc::clone(shared) })
    }
}

/// What sets a bit, which it has set.
fn set(setter: Arc<Setter>) -> Waker {
    setter.wake_by_ref();
    setter.into()
}

impl Setter {
    fn new(block: &Arc<Block>, bit: u64) -> Arc<Self> {
        Arc::new(Self { block: Arc::clone(block), bit })
    }
}

impl Wake for Setter {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let Block { bits, number, shared } = &*self.block;
        // Whoever set the first bit of a block has told the connection, if it did not
        // set it itself.
        if bits.fetch_or(self.bit, Ordering::SeqCst) != 0 {
            return;
        }
        let task = {
            let mut parts = shared.lock();
            parts.due.extend(number);
            parts.task.take()
        };
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::noop_waker_ref;

    fn due(marks: &Marks) -> Vec<(usize, Mark)> {
        let mut blocks = Vec::new();
        marks.due(&mut blocks, noop_waker_ref());
        let mut calls = Vec::new();
        for block in blocks {
            calls.extend(marks.enter(block));
            marks.leave(block);
        }
        calls
    }

    const DUE_ONLY: Mark = Mark { is_due: true, has_news: false };

    #[test]
    fn each_call_has_its_own_marks_in_whichever_block() {
        let mut marks = Marks::default();
        let wakers: Vec<_> = (0..100).map(|index| marks.of_call(index)).collect();
        let all: Vec<_> = (0..100).map(|index| (index, DUE_ONLY)).collect();
        assert_eq!(due(&marks), all, "a call begins by being due");
        for index in [31, 32, 99, 32] {
            wakers[index].wake_by_ref();
        }
        let news = marks.news_of(99);
        news.waker().wake_by_ref();
        let both = Mark { is_due: true, has_news: true };
        assert_eq!(due(&marks), [(31, DUE_ONLY), (32, DUE_ONLY), (99, both)]);
        assert_eq!(due(&marks), []);
    }

    #[test]
    fn news_that_are_taken_are_not_told_again() {
        let mut marks = Marks::default();
        let _waker = marks.of_call(0);
        assert_eq!(due(&marks).len(), 1);
        let news = marks.news_of(0);
        assert!(!news.take());
        news.waker().wake_by_ref();
        assert!(news.take() && !news.take());
        assert_eq!(due(&marks), []);
    }

    #[test]
    fn what_is_marked_while_its_block_runs_is_due_after_that() {
        let mut marks = Marks::default();
        let wakers: Vec<_> = (0..2).map(|index| marks.of_call(index)).collect();
        let mut blocks = Vec::new();
        assert!(marks.due(&mut blocks, noop_waker_ref()));
        assert_eq!(blocks, [0]);
        let calls: Vec<_> = marks.enter(0).inspect(|(index, _)| wakers[1 - index].wake_by_ref()).collect();
        assert_eq!(calls, [(0, DUE_ONLY), (1, DUE_ONLY)]);
        marks.leave(0);
        assert_eq!(due(&marks), calls);
        assert_eq!(due(&marks), []);
    }

    #[test]
    fn the_task_is_woken_once_by_the_first_mark_after_it_rests() {
        struct Count(AtomicU64);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let count = Arc::new(Count(AtomicU64::new(0)));
        let task = Waker::from(Arc::clone(&count));
        let mut marks = Marks::default();
        let own = marks.own(TRANSPORT);
        let calls: Vec<_> = (0..2).map(|index| marks.of_call(index)).collect();
        let mut blocks = Vec::new();
        assert!(marks.due(&mut blocks, &task));
        assert_eq!(marks.take_own(), TRANSPORT);
        assert_eq!(blocks.drain(..).flat_map(|block| marks.enter(block)).count(), 2);
        marks.leave(0);
        assert!(!marks.due(&mut blocks, &task));
        for waker in calls.iter().chain([&own]) {
            waker.wake_by_ref();
        }
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(marks.due(&mut blocks, &task));
    }
}
