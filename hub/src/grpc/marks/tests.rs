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

const NONE: Mark = Mark { is_due: false, has_step: false, has_news: false };
const DUE_ONLY: Mark = Mark { is_due: true, ..NONE };
const STEP_ONLY: Mark = Mark { has_step: true, ..NONE };

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
fn news_are_for_all_calls_of_a_block_and_are_not_told_again_when_taken() {
    let mut marks = Marks::default();
    let _wakers: Vec<_> = (0..40).map(|index| marks.of_call(index)).collect();
    assert_eq!(due(&marks).len(), 40);
    let news = marks.news_of(35);
    assert!(!news.take());
    news.waker().wake_by_ref();
    assert!(news.take() && !news.take());
    assert_eq!(due(&marks), []);
    news.waker().wake_by_ref();
    let told = due(&marks);
    assert!(
        told.contains(&(35, Mark { has_news: true, ..NONE })) && told.iter().all(|(index, _)| *index >= 31)
    );
    assert_eq!(due(&marks), []);
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
