use super::*;
use futures_util::task::noop_waker_ref;

/// The calls that are due in one turn.
fn due(marks: &Marks) -> Vec<(usize, Mark)> {
    let turn = marks.turn();
    let mut calls = Vec::new();
    for block in marks.blocks(&turn) {
        calls.extend(marks.enter(block));
        marks.leave(block);
    }
    calls
}

const DUE_ONLY: Mark = Mark { is_due: true, has_step: false };
const STEP_ONLY: Mark = Mark { is_due: false, has_step: true };

#[test]
fn each_call_has_its_own_marks_in_whichever_block() {
    let mut marks = Marks::default();
    // More than have a slot of their own.
    let calls = CALLS * SLOTS + 100;
    let wakers: Vec<_> = (0..calls).map(|index| marks.of_call(index)).collect();
    let mut all = due(&marks);
    all.sort_by_key(|(index, _)| *index);
    assert_eq!(
        all,
        (0..calls).map(|index| (index, DUE_ONLY)).collect::<Vec<_>>(),
        "a call begins by being due"
    );
    for index in [30, 31, 99, 31, calls - 1] {
        wakers[index].wake_by_ref();
    }
    let (group, bit) = marks.group_of(99);
    let (same, neighbour) = marks.group_of(100);
    assert!(Arc::ptr_eq(&group, &same));
    group.wake(bit | neighbour);
    let mut marked = due(&marks);
    marked.sort_by_key(|(index, _)| *index);
    let both = Mark { is_due: true, ..STEP_ONLY };
    assert_eq!(marked, [(30, DUE_ONLY), (31, DUE_ONLY), (99, both), (100, STEP_ONLY), (calls - 1, DUE_ONLY)]);
    assert_eq!(due(&marks), []);
}

#[test]
fn a_call_that_cannot_take_a_step_is_due_instead() {
    let mut marks = Marks::default();
    let wakers: Vec<_> = (0..3).map(|index| marks.of_call(index)).collect();
    due(&marks);
    let (group, _) = marks.group_of(0);
    group.wake(STEPS & ((1 << shift(3)) - 1));
    wakers[0].wake_by_ref();
    let marked: Vec<_> = marks.enter(0).step_if(|index| index == 1).collect();
    let both = Mark { is_due: true, ..STEP_ONLY };
    assert_eq!(marked, [(0, both), (1, STEP_ONLY), (2, both)]);
}

#[test]
fn what_is_marked_while_its_block_runs_is_due_in_the_next_turn() {
    let mut marks = Marks::default();
    let wakers: Vec<_> = (0..2).map(|index| marks.of_call(index)).collect();
    let turn = marks.turn();
    assert!(marks.blocks(&turn).eq([0]));
    let calls: Vec<_> = marks.enter(0).inspect(|(index, _)| wakers[1 - index].wake_by_ref()).collect();
    assert_eq!(calls, [(0, DUE_ONLY), (1, DUE_ONLY)]);
    marks.leave(0);
    assert!(marks.is_due() && !marks.rest(noop_waker_ref()));
    assert_eq!(due(&marks), calls);
    assert_eq!(due(&marks), []);
    assert!(marks.rest(noop_waker_ref()));
}

#[test]
fn the_connections_own_marks_of_a_turn_are_those_that_come_in_it_too() {
    let marks = Marks::default();
    let wakers = [marks.own(TRANSPORT), marks.own(DRAIN)];
    let turn = marks.turn();
    assert_eq!(marks.own_of(&turn), OWN);
    wakers[1].wake_by_ref();
    let turn = marks.turn();
    wakers[0].wake_by_ref();
    assert_eq!(marks.own_of(&turn), OWN);
    assert_eq!(marks.own_of(&marks.turn()), 0);
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
    let calls: Vec<_> = (0..40).map(|index| marks.of_call(index)).collect();
    for rests in 1..4 {
        assert!(!marks.rest(&task), "something is due");
        assert_eq!(due(&marks).len(), 40);
        marks.own_of(&marks.turn());
        assert!(marks.rest(&task));
        for waker in calls.iter().chain([&own]) {
            waker.wake_by_ref();
        }
        assert_eq!(count.0.load(Ordering::SeqCst), rests);
    }
}
