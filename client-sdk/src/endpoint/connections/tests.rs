use super::*;
use crate::Dialer;
use crate::endpoint::Tls;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::DuplexStream;

/// Takes every connection and says nothing; counts them, and keeps the far ends.
#[derive(Default)]
struct Silent {
    dials: Arc<AtomicUsize>,
    refuses: bool,
    far_ends: Mutex<Vec<DuplexStream>>,
}

impl Dialer for Silent {
    type Io = DuplexStream;

    async fn dial(&self, _: SocketAddr) -> io::Result<DuplexStream> {
        self.dials.fetch_add(1, Ordering::SeqCst);
        // Long enough for all to have asked who ask at once.
        tokio::time::sleep(Duration::from_millis(10)).await;
        if self.refuses {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (near, far) = tokio::io::duplex(1024);
        self.far_ends.lock().unwrap().push(far);
        Ok(near)
    }
}

const LINGER: Duration = Duration::from_secs(30);

fn sharing(connections: usize, streams: usize) -> Sharing {
    Sharing { connections, streams, linger: LINGER, ..Sharing::ALONE }
}

fn connections(sharing: Sharing, dialer: Silent) -> (Arc<Connections>, Arc<AtomicUsize>) {
    let dials = Arc::clone(&dialer.dials);
    (Connections::new(sharing, Arc::new(dialer), fastrand::Rng::with_seed(7)), dials)
}

fn address(host: u8) -> Address {
    let endpoint = Arc::new(Endpoint::new("http://hub.test:7600", true, &Tls::default()).unwrap());
    Address { endpoint, socket: ([10, 0, 0, host], 7600).into() }
}

#[tokio::test(start_paused = true)]
async fn those_who_ask_at_once_share_one_dial_and_fill_one_connection_after_the_other() {
    let (all, dials) = connections(sharing(3, 4), Silent::default());
    let hub = address(1);
    let places = futures_util::future::join_all((0..10).map(|_| all.connect(&hub))).await;
    let mut places: Vec<_> = places.into_iter().map(Result::unwrap).collect();
    assert_eq!((dials.load(Ordering::SeqCst), all.count()), (3, (3, 10)));
    places.extend([all.connect(&hub).await.unwrap(), all.connect(&hub).await.unwrap()]);
    let error = all.connect(&hub).await.err().unwrap();
    assert!(error.contains("all 3 connections"), "{error}");
    assert_eq!(all.count(), (3, 12), "who is refused takes no place");
    // The fullest with a place is used, so that the others can empty.
    places.truncate(3);
    let taken: Vec<_> = all.lock().seats.iter().map(|seat| seat.streams).collect();
    places.push(all.connect(&hub).await.unwrap());
    let fullest = taken.iter().max().unwrap() + 1;
    assert!(all.lock().seats.iter().any(|seat| seat.streams == fullest), "{taken:?}");
    assert_eq!(dials.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_fails_fails_for_all_who_waited_and_takes_no_place() {
    let (all, dials) = connections(sharing(2, 64), Silent { refuses: true, ..Silent::default() });
    let hub = address(1);
    let refused = futures_util::future::join_all((0..20).map(|_| all.connect(&hub))).await;
    assert!(refused.iter().all(|place| place.as_ref().is_err_and(|error| error.contains("refused"))));
    drop(refused);
    assert_eq!((dials.load(Ordering::SeqCst), all.count()), (1, (0, 0)));
    assert!(all.connect(&hub).await.is_err());
    assert_eq!(dials.load(Ordering::SeqCst), 2, "who comes later dials anew");
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_streams_is_closed_after_a_while_or_for_another_address() {
    let (all, _) = connections(sharing(1, 2), Silent::default());
    let (one, other) = (address(1), address(2));
    drop(all.connect(&one).await.unwrap());
    assert_eq!(all.count(), (1, 0));
    tokio::time::sleep(LINGER).await;
    all.sweep(LINGER);
    assert_eq!(all.count(), (0, 0));
    drop(all.connect(&one).await.unwrap());
    let place = all.connect(&other).await.unwrap();
    assert_eq!(all.count(), (1, 1));
    assert!(all.connect(&one).await.is_err(), "the one connection is another hub's");
    let mut order = [one, other];
    all.prefer_open(&mut order);
    assert_eq!(order[0].socket, address(2).socket, "where there is a connection with a place");
    drop(place);

    let (alone, _) = connections(Sharing::ALONE, Silent::default());
    let place = alone.connect(&address(1)).await.unwrap();
    drop((alone.connect(&address(1)).await.unwrap(), place));
    assert_eq!(alone.count(), (0, 0), "a client alone keeps none");
}

#[tokio::test(start_paused = true)]
async fn a_doubted_or_aged_connection_gets_new_streams_only_if_there_is_no_other() {
    for doubt in [true, false] {
        let (all, dials) = connections(sharing(2, 4), Silent::default());
        let hub = address(1);
        let first = all.connect(&hub).await.unwrap();
        match doubt {
            true => first.doubt(),
            false => all.change(&first.place.line, |seat| seat.good_until = Instant::now()),
        }
        let mut others = Vec::new();
        for _ in 0..4 {
            others.push(all.connect(&hub).await.unwrap());
        }
        assert!(others.iter().all(|place| !Arc::ptr_eq(&place.place.line, &first.place.line)));
        let last = all.connect(&hub).await.unwrap();
        assert!(Arc::ptr_eq(&last.place.line, &first.place.line), "there is no other place");
        assert_eq!(dials.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_cut_only_if_nothing_arrives_on_it_and_then_replaced() {
    let (all, dials) = connections(sharing(1, 4), Silent::default());
    let hub = address(1);
    let (one, other) = (all.connect(&hub).await.unwrap(), all.connect(&hub).await.unwrap());
    tokio::time::sleep(Duration::from_secs(9)).await;
    one.cut_if_silent(Duration::from_secs(10));
    assert_eq!(all.count(), (1, 2), "not silent for so long");
    tokio::time::sleep(Duration::from_secs(2)).await;
    one.cut_if_silent(Duration::from_secs(10));
    assert_eq!(all.count(), (0, 0));
    let place = all.connect(&hub).await.unwrap();
    drop((one, other));
    assert_eq!((all.count(), dials.load(Ordering::SeqCst)), ((1, 1), 2));
    drop(place);
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_streams_have_reached_their_age_gets_no_more_of_them() {
    let (all, dials) = connections(sharing(2, 4), Silent::default());
    let hub = address(1);
    let (one, two) = (all.connect(&hub).await.unwrap(), all.connect(&hub).await.unwrap());
    assert_eq!(dials.load(Ordering::SeqCst), 1);
    one.retire();
    let moved = all.connect(&hub).await.unwrap();
    assert_eq!((dials.load(Ordering::SeqCst), all.count()), (2, (2, 3)));
    // The others follow it there, though this one has fewer streams.
    two.retire();
    let followed = all.connect(&hub).await.unwrap();
    assert_eq!(dials.load(Ordering::SeqCst), 2);
    // With no room for another connection, an old one is better than none.
    moved.retire();
    let _last = all.connect(&hub).await.unwrap();
    assert_eq!((dials.load(Ordering::SeqCst), all.count()), (2, (2, 5)));
    drop((one, two, moved, followed));
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_streams_that_is_dead_is_found_out() {
    let (all, _) = connections(sharing(2, 4), Silent::default());
    drop(all.connect(&address(1)).await.unwrap());
    assert_eq!(all.count(), (1, 0));
    // The far end answers no ping.
    tokio::time::sleep(limits::PING_INTERVAL + limits::PING_TIMEOUT + Duration::from_secs(1)).await;
    assert_eq!(all.count(), (0, 0), "nobody is given a place on it");
}
