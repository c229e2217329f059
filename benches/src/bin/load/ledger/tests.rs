use super::*;
use confhub_benches::input::{Setting, settings};
use confhub_proto::frame::split;
use confhub_proto::{Key, State, Update};
use std::time::SystemTime;

fn frame(update: &Update) -> Bytes {
    split(update)[0].encode_to_vec().into()
}

fn state(settings: &[Setting], version: u64) -> State {
    settings.iter().map(|setting| setting.entry(version)).collect()
}

fn keys(settings: &[Setting]) -> Vec<Key> {
    settings.iter().map(|setting| setting.key.clone()).collect()
}

fn reader(settings: &[Setting]) -> (Reader, Rc<RefCell<Totals>>) {
    let totals = Totals::new().unwrap();
    let keys = settings.iter().map(|setting| setting.key.to_string());
    let mut reader = Reader::new(&Rc::new(Tenant::new(keys, &totals)));
    reader.take(frame(&Update::reset(&state(settings, 1), SystemTime::UNIX_EPOCH)));
    (reader, totals)
}

#[test]
fn a_delivery_is_counted_and_a_missing_one_is_missed() {
    let settings = settings(3).unwrap();
    let (mut reader, totals) = reader(&settings);
    let next = state(&settings, 2);
    reader.take(frame(&Update::difference(&keys(&settings), &next, SystemTime::UNIX_EPOCH)));
    assert_eq!((totals.borrow().deliveries, totals.borrow().diverged), (3, 0));
    assert_eq!(reader.digest(), next.digest());
    assert_eq!((reader.lacks(&[2, 2, 2]), reader.lacks(&[2, 3, 4])), (0, 3));
}

#[test]
fn what_goes_back_and_what_differs_is_noticed() {
    let settings = settings(2).unwrap();
    let (mut reader, totals) = reader(&settings);
    let mut update = Update::difference(&keys(&settings), &state(&settings, 4), SystemTime::UNIX_EPOCH);
    reader.take(frame(&update));
    assert_eq!(totals.borrow().superseded, 4, "versions 2 and 3 of both keys");
    reader.take(frame(&Update::difference(&keys(&settings), &state(&settings, 3), SystemTime::UNIX_EPOCH)));
    assert_eq!((totals.borrow().backwards, totals.borrow().diverged), (2, 0));
    update.commit.cursor = Digest::default();
    reader.take(frame(&update));
    assert_eq!(totals.borrow().diverged, 1);
}
