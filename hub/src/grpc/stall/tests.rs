use super::*;
use futures_util::task::noop_waker_ref;
use http_body::Body as _;

/// Has always more, while it is told so.
struct More(bool);

impl http_body::Body for More {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.0 { Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"more"))))) } else { Poll::Pending }
    }
}

impl Source for More {}

fn watched(watch: &Arc<Watch>, lives: Duration) -> Watched<More> {
    let reading = Arc::<Reading>::default();
    let entry = Entry {
        expires: Instant::now() + lives,
        stream: true,
        identity: None,
        reading: Arc::clone(&reading),
        breaker: Breaker::default(),
    };
    let place = watch.lock().insert(entry);
    Watched {
        body: Some(More(true)),
        expires: Instant::now() + lives,
        parting: Parting::Nothing { stream: true },
        reading,
        waker: None,
        watch: Arc::clone(watch),
        place,
        place_of_call: None,
    }
}

fn next(body: &mut Watched<More>) -> Frame<Bytes> {
    match Pin::new(body).poll_frame(&mut Context::from_waker(noop_waker_ref())) {
        Poll::Ready(Some(Ok(frame))) => frame,
        _ => panic!("no frame"),
    }
}

/// Looks around once.
fn look(watch: &Watch) {
    watch.looks.fetch_add(1, Ordering::Relaxed);
    watch.end_what_has_to_end(Instant::now());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_read_for_too_long_ends_with_a_status_that_says_so() {
    let watch = Arc::<Watch>::default();
    let (mut unread, mut read) =
        (watched(&watch, Duration::from_secs(900)), watched(&watch, Duration::from_secs(900)));
    next(&mut unread);
    let looks = STALLED.as_millis().div_ceil(LOOK.as_millis());
    for _ in 0..looks {
        next(&mut read);
        assert!(!unread.give_up(), "too early");
        look(&watch);
    }
    look(&watch);
    assert!(unread.give_up() && !read.give_up());
    let trailers = next(&mut unread).into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "8", "RESOURCE_EXHAUSTED");
    assert!(trailers["grpc-message"].to_str().unwrap().contains("60%20s"), "{trailers:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_rests_is_not_taken_for_one_that_is_not_read_until_a_step_stands() {
    let watch = Arc::<Watch>::default();
    let mut body = watched(&watch, Duration::from_secs(900));
    let looks = || {
        for _ in 0..=STALLED.as_millis().div_ceil(LOOK.as_millis()) {
            look(&watch);
        }
    };
    next(&mut body);
    body.body = Some(More(false));
    let cx = &mut Context::from_waker(noop_waker_ref());
    assert!(Pin::new(&mut body).poll_frame(cx).is_pending());
    looks();
    assert!(!body.give_up());
    body.stands();
    looks();
    assert!(body.give_up());
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_reads_again_just_then_is_not_told_that_it_was_revoked() {
    let watch = Arc::<Watch>::default();
    for (over, code) in [(Over::Stalled, "8"), (Over::Expired, "16")] {
        let mut body = watched(&watch, Duration::from_secs(900));
        next(&mut body);
        body.reading.end(over);
        assert_eq!(next(&mut body).into_trailers().unwrap()["grpc-status"], code);
    }
    let mut revoked = watched(&watch, Duration::from_secs(900));
    revoked.reading.end(Over::Refused(Refused::Revoked));
    assert!(next(&mut revoked).is_data(), "a goodbye");
    assert_eq!(next(&mut revoked).into_trailers().unwrap()["grpc-status"], "7");
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_token_has_expired_is_not_waited_for() {
    let watch = Arc::<Watch>::default();
    let mut unread = watched(&watch, Duration::from_millis(500));
    next(&mut unread);
    look(&watch);
    tokio::time::advance(Duration::from_millis(600)).await;
    assert!(!unread.give_up());
    look(&watch);
    assert!(unread.give_up());
    assert_eq!(next(&mut unread).into_trailers().unwrap()["grpc-status"], "16", "UNAUTHENTICATED");
}
