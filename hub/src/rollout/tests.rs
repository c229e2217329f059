//! The machine, without a hub.

use super::*;

const HOLD: u64 = 1_000;
const APPLY: u64 = 500;

fn plan(steps: &[&str], check_ms: u64) -> Plan {
    Plan {
        flag: "ad".to_owned(),
        service: String::new(),
        on: "on".to_owned(),
        off: "off".to_owned(),
        steps: steps.iter().map(ToString::to_string).collect(),
        hold_ms: HOLD,
        apply_ms: APPLY,
        services: Vec::new(),
        check_ms,
    }
}

fn begun(steps: &[&str], check_ms: u64) -> Rollout {
    Rollout::new("1".to_owned(), plan(steps, check_ms), "alice", 7, 0)
}

fn seen(now: u64, version: u64, fleet: Fleet) -> Seen {
    Seen { now, version, as_wanted: false, as_before: false, fleet }
}

fn applied() -> Fleet {
    Fleet::Applied(3)
}

fn pending() -> Fleet {
    Fleet::Pending("cart-1".to_owned())
}

/// Brings a rollout to the hold of its first step, at 10.
fn holding(steps: &[&str], check_ms: u64) -> Rollout {
    let mut rollout = begun(steps, check_ms);
    assert_eq!(rollout.turn(&seen(0, 7, Fleet::Unknown)), Do::Write);
    rollout.wrote(8, 5);
    assert_eq!(rollout.turn(&seen(10, 8, applied())), Do::Again);
    assert!(matches!(rollout.state, State::Running { phase: Phase::Holding { .. } }), "{rollout:?}");
    rollout
}

fn why(rollout: &Rollout) -> &str {
    match &rollout.state {
        State::Ended { why, .. } | State::Paused { why } | State::Undoing { why, .. } => why,
        State::Running { .. } => panic!("it runs: {rollout:?}"),
    }
}

fn ending(rollout: &Rollout) -> Option<Ending> {
    match rollout.state {
        State::Ended { end, .. } => Some(end),
        _ => None,
    }
}

/// Restores the state before, from version 8.
fn undo(rollout: &mut Rollout, now: u64) {
    assert_eq!(rollout.turn(&seen(now, 8, applied())), Do::Restore, "{rollout:?}");
    rollout.restored(9, now);
    assert_eq!(rollout.turn(&seen(now, 9, applied())), Do::Wait);
}

#[test]
fn each_step_is_written_applied_held_and_followed_by_the_next() {
    let mut rollout = begun(&["5", "100"], 0);
    for (step, version) in [(0, 8), (1, 9)] {
        let now = step * 10_000;
        assert_eq!(rollout.turn(&seen(now, version - 1, Fleet::Unknown)), Do::Write);
        rollout.wrote(version, now);
        assert_eq!(rollout.turn(&seen(now + 1, version, pending())), Do::Wait);
        assert_eq!(rollout.wakes_at(), Some(now + APPLY));
        assert_eq!(rollout.turn(&seen(now + 2, version, applied())), Do::Again);
        assert_eq!(rollout.turn(&seen(now + HOLD, version, applied())), Do::Wait);
        assert_eq!(rollout.wakes_at(), Some(now + 2 + HOLD));
        let end = if step == 1 { Do::Wait } else { Do::Again };
        assert_eq!(rollout.turn(&seen(now + 2 + HOLD, version, applied())), end);
    }
    assert_eq!((ending(&rollout), why(&rollout)), (Some(Ending::Done), ""));
    let texts: Vec<_> = rollout.events.iter().map(|event| event.text.as_str()).collect();
    assert_eq!(
        texts[1..4],
        ["5 written as version 8", "5 is applied by 3 instances", "100 written as version 9"]
    );
}

#[test]
fn what_is_not_applied_in_time_is_rolled_back() {
    let mut rollout = begun(&["5", "100"], 0);
    rollout.wrote(8, 0);
    assert_eq!(rollout.turn(&seen(APPLY - 1, 8, pending())), Do::Wait);
    assert_eq!(rollout.turn(&seen(APPLY, 8, pending())), Do::Again);
    undo(&mut rollout, APPLY + 1);
    assert_eq!(ending(&rollout), Some(Ending::RolledBack));
    assert!(why(&rollout).contains("cart-1"), "{rollout:?}");
}

#[test]
fn a_refusal_rolls_back_at_once_in_any_phase() {
    let refused = || Fleet::Refused("cart-1 (no number)".to_owned());
    let mut applying = begun(&["5"], 0);
    applying.wrote(8, 0);
    for mut rollout in [applying, holding(&["5"], 0)] {
        assert_eq!(rollout.turn(&seen(11, 8, refused())), Do::Again);
        undo(&mut rollout, 12);
        assert_eq!(ending(&rollout), Some(Ending::RolledBack));
        assert!(why(&rollout).contains("no number"), "{rollout:?}");
    }
}

#[test]
fn instances_that_stop_reporting_during_a_hold_roll_it_back() {
    let mut rollout = holding(&["5", "100"], 0);
    assert_eq!(rollout.turn(&seen(10 + HOLD, 8, pending())), Do::Wait, "one may have come just now");
    assert_eq!(rollout.turn(&seen(10 + HOLD + APPLY, 8, pending())), Do::Again);
    undo(&mut rollout, 2_000);
    assert!(why(&rollout).contains("no report any more of cart-1"));
}

#[test]
fn a_change_from_elsewhere_pauses_and_is_never_overwritten() {
    for mut rollout in [begun(&["5", "100"], 0), holding(&["5", "100"], 0)] {
        assert_eq!(rollout.turn(&seen(20, 33, applied())), Do::Wait);
        assert!(why(&rollout).contains("version 33"), "{rollout:?}");
        assert_eq!(rollout.turn(&seen(99_999, 33, applied())), Do::Wait, "it waits for an operator");
        let mut aborted = rollout.clone();
        aborted.abort(21, "bob", false);
        assert_eq!(aborted.turn(&seen(22, 33, applied())), Do::Wait);
        assert_eq!(ending(&aborted), Some(Ending::Aborted));
        assert!(why(&aborted).contains("left as it is"), "{aborted:?}");
        rollout.resume(30, "bob", 33);
        assert_eq!(rollout.turn(&seen(31, 33, applied())), Do::Write);
        rollout.wrote(34, 32);
        rollout.abort(33, "bob", false);
        assert_eq!((rollout.turn(&seen(34, 34, applied())), rollout.before), (Do::Restore, 33));
    }
}

#[test]
fn a_crash_between_the_write_and_its_record_is_made_up_for() {
    let mut rollout = begun(&["5"], 0);
    let written = Seen { as_wanted: true, ..seen(3, 8, Fleet::Unknown) };
    assert_eq!(rollout.turn(&written), Do::Again);
    assert_eq!((rollout.version, rollout.written), (8, true));
    rollout.abort(4, "bob", false);
    let restored = Seen { as_before: true, ..seen(5, 9, Fleet::Unknown) };
    assert_eq!(rollout.turn(&restored), Do::Again);
    assert_eq!(rollout.turn(&seen(6, 9, Fleet::Unknown)), Do::Wait);
    assert_eq!(ending(&rollout), Some(Ending::Aborted));
}

#[test]
fn a_step_goes_on_only_after_a_good_check_and_a_bad_one_rolls_back() {
    let mut rollout = holding(&["5", "100"], 5_000);
    assert_eq!(rollout.turn(&seen(10 + HOLD, 8, applied())), Do::Wait, "nobody has looked yet");
    rollout.checked(1_100, true, "fine");
    assert_eq!(rollout.turn(&seen(1_101, 8, applied())), Do::Again);
    assert_eq!(rollout.step, 1);
    let mut rollout = holding(&["5", "100"], 5_000);
    rollout.checked(20, false, "exit code 1");
    undo(&mut rollout, 21);
    assert!(why(&rollout).contains("exit code 1"));
}

#[test]
fn who_makes_the_checks_is_missed_and_has_time_again_after_a_pause() {
    let mut rollout = holding(&["5", "100"], 5_000);
    assert_eq!(rollout.wakes_at(), Some(10 + HOLD));
    rollout.checked(900, true, "fine");
    assert_eq!(rollout.turn(&seen(5_900, 8, Fleet::Unknown)), Do::Wait);
    assert!(why(&rollout).contains("nobody makes the checks"), "{rollout:?}");
    rollout.resume(9_000, "bob", 8);
    assert_eq!(rollout.turn(&seen(13_999, 8, pending())), Do::Again, "not applied in time, but not missed");
    assert!(why(&rollout).contains("not applied"));
}

#[test]
fn a_pause_holds_everything_and_a_step_is_applied_and_held_anew_after_it() {
    let mut rollout = holding(&["5", "100"], 0);
    rollout.pause(50, "paused by bob");
    assert_eq!(rollout.turn(&seen(999_999, 8, Fleet::Refused("x".to_owned()))), Do::Wait);
    assert_eq!(rollout.wakes_at(), None);
    rollout.resume(1_000_000, "bob", 8);
    assert_eq!(rollout.turn(&seen(1_000_001, 8, applied())), Do::Again);
    assert_eq!(rollout.wakes_at(), Some(1_000_001 + HOLD));
    // A step whose write ends after the pause came counts as written.
    let mut rollout = begun(&["5"], 0);
    rollout.pause(1, "paused by bob");
    rollout.wrote(8, 2);
    assert!(matches!(rollout.state, State::Paused { .. }) && rollout.written && rollout.version == 8);
}

#[test]
fn an_abort_keeps_what_there_is_if_it_is_told_to() {
    let mut rollout = holding(&["5", "100"], 0);
    rollout.abort(20, "bob", true);
    assert_eq!(ending(&rollout), Some(Ending::Aborted));
    let mut untouched = begun(&["5"], 0);
    untouched.abort(1, "bob", false);
    assert_eq!(untouched.turn(&seen(2, 7, Fleet::Unknown)), Do::Wait, "there is nothing to restore");
    assert_eq!(ending(&untouched), Some(Ending::Aborted));
}

#[test]
fn a_record_is_bounded_and_is_read_as_it_was_written() {
    let mut rollout = holding(&["5", "100"], 5_000);
    for now in 0..500 {
        rollout.pause(now, "é".repeat(TEXT_BYTES));
        rollout.resume(now, "bob", 8);
    }
    assert_eq!(rollout.events.len(), EVENTS);
    assert_eq!(rollout.events[0].text, "started by alice");
    let text = serde_json::to_string(&rollout).unwrap();
    assert!(text.len() < 64 * 1024, "{}", text.len());
    assert_eq!(serde_json::from_str::<Rollout>(&text).unwrap(), rollout);
}
