use super::*;
use crate::ledger::{Faults, Held as _};
use confhub_benches::input::{Setting, settings};

fn frame(update: &Update) -> Bytes {
    split(update)[0].encode_to_vec().into()
}

fn state(settings: &[Setting], version: u64) -> State {
    settings.iter().map(|setting| setting.entry(version)).collect()
}

fn keys(settings: &[Setting]) -> Vec<Key> {
    settings.iter().map(|setting| setting.key.clone()).collect()
}

fn reader(settings: &[Setting]) -> (Reader, Rc<Fleet>) {
    let fleet = Fleet::new().unwrap();
    let slots = settings.iter().enumerate().map(|(slot, setting)| (setting.key.to_string(), slot)).collect();
    let mut reader = Reader::new(&Rc::new(Tenant::new(&Rc::new(slots), &fleet)));
    reader.take(frame(&Update::reset(&state(settings, 1), SystemTime::UNIX_EPOCH)));
    (reader, fleet)
}

#[test]
fn a_delivery_is_counted_and_a_missing_one_is_missed() {
    let settings = settings(3).unwrap();
    let (mut reader, fleet) = reader(&settings);
    let next = state(&settings, 2);
    reader.take(frame(&Update::difference(&keys(&settings), &next, SystemTime::UNIX_EPOCH)));
    let totals = fleet.totals.borrow();
    assert_eq!((totals.deliveries, totals.faults), (3, Faults::default()));
    assert_eq!(reader.digest(), Some(next.digest()));
    assert_eq!((reader.lacks(&[2, 2, 2]), reader.lacks(&[2, 3, 4])), (0, 3));
}

#[test]
fn what_goes_back_and_what_differs_is_noticed() {
    let settings = settings(2).unwrap();
    let (mut reader, fleet) = reader(&settings);
    let mut update = Update::difference(&keys(&settings), &state(&settings, 4), SystemTime::UNIX_EPOCH);
    reader.take(frame(&update));
    assert_eq!(fleet.totals.borrow().superseded, 4, "versions 2 and 3 of both keys");
    reader.take(frame(&Update::difference(&keys(&settings), &state(&settings, 3), SystemTime::UNIX_EPOCH)));
    assert_eq!(fleet.totals.borrow().faults, Faults { backwards: 2, ..Faults::default() });
    update.commit.cursor = Digest::default();
    reader.take(frame(&update));
    let faults = fleet.totals.borrow().faults;
    assert_eq!((faults.diverged, faults.repeats), (1, 2));
}
