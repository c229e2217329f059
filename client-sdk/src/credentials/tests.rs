//! How often sources are asked, and what comes out of files and commands.

use super::*;
use crate::limits;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::SystemTime;
use tokio::time::{Instant, sleep};

/// Numbers its tokens, and takes a while for each.
#[derive(Clone, Default)]
struct Numbered {
    asked: Arc<AtomicUsize>,
    renewals: Arc<AtomicUsize>,
    fails: Arc<AtomicBool>,
    /// Has nothing newer than the first.
    dry: Arc<AtomicBool>,
    /// Never answers.
    hangs: Arc<AtomicBool>,
    lives: Option<Duration>,
}

impl Numbered {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl TokenSource for Numbered {
    async fn token(&self, request: TokenRequest) -> Result<String, TokenError> {
        self.issue(request).await.map(|issued| issued.token)
    }

    async fn issue(&self, request: TokenRequest) -> Result<Issued, TokenError> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        self.renewals.fetch_add(usize::from(request.renew), Ordering::SeqCst);
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        sleep(Duration::from_millis(20)).await;
        if self.fails.load(Ordering::SeqCst) {
            return Err(TokenError::new(format!("failure {number}")));
        }
        let number = if self.dry.load(Ordering::SeqCst) { 0 } else { number };
        let issued = Issued::new(format!("token-{number}"));
        Ok(match self.lives {
            Some(lives) => issued.lives(lives),
            None => issued,
        })
    }
}

fn clients(tokens: &SharedTokens) -> Vec<Credentials> {
    (0..50).map(|_| Credentials::of(tokens.clone())).collect()
}

async fn all(clients: &[Credentials], renew: bool) -> Vec<Result<Token, TokenError>> {
    join_all(clients.iter().map(|client| client.token(renew))).await
}

fn are(tokens: &[Result<Token, TokenError>], wanted: &str) -> bool {
    tokens.iter().all(|token| token.as_ref().is_ok_and(|token| token.as_str() == wanted))
}

#[tokio::test(start_paused = true)]
async fn fifty_clients_of_a_source_cause_one_request_and_one_renewal() {
    let source = Numbered::default();
    let clients = clients(&SharedTokens::new(source.clone()));
    assert!(are(&all(&clients, false).await, "token-0"));
    assert!(are(&all(&clients, false).await, "token-0"));
    assert_eq!(source.asked(), 1);
    // All were refused the same token: some at once, some later.
    assert!(are(&all(&clients[..25], true).await, "token-1"));
    assert!(are(&all(&clients[25..], true).await, "token-1"));
    assert_eq!((source.asked(), source.renewals.load(Ordering::SeqCst)), (2, 1));
    let waiting = clients.iter().map(|client| {
        let (client, old) = (client.clone(), Token::new("token-1").unwrap());
        client.newer_than(old)
    });
    assert!(join_all(waiting).await.iter().all(|token| token.as_str() == "token-2"));
    assert_eq!(source.asked(), 3);
    assert!(are(&all(&clients, false).await, "token-2"));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_is_asked_ever_more_rarely_whoever_asks() {
    let source = Numbered::default();
    source.fails.store(true, Ordering::SeqCst);
    let clients = clients(&SharedTokens::new(source.clone()));
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(300) {
        let tokens = all(&clients, false).await;
        assert!(tokens.iter().all(|token| token.as_ref().is_err_and(|e| e.to_string().contains("failure"))));
        sleep(Duration::from_millis(50)).await;
    }
    // The bounds double from a tenth of a second to 30 s; what is drawn is half of it
    // at least.
    assert!((12..=30).contains(&source.asked()), "{}", source.asked());
    source.fails.store(false, Ordering::SeqCst);
    sleep(*limits::TOKEN_PAUSE.end()).await;
    assert!(all(&clients, false).await.iter().all(Result::is_ok));
    // The pauses have started over.
    let old = clients[0].token(false).await.unwrap();
    source.fails.store(true, Ordering::SeqCst);
    sleep(Duration::from_secs(1)).await;
    assert!(clients[0].token(true).await.is_err());
    source.fails.store(false, Ordering::SeqCst);
    sleep(limits::TOKEN_LEAST_PAUSE).await;
    assert_ne!(clients[0].token(true).await.unwrap(), old);
}

#[tokio::test(start_paused = true)]
async fn a_source_with_nothing_newer_is_not_asked_for_it_all_the_time() {
    let source = Numbered::default();
    source.dry.store(true, Ordering::SeqCst);
    let clients = clients(&SharedTokens::new(source.clone()));
    all(&clients, false).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        assert!(are(&all(&clients, true).await, "token-0"), "the old one, and no wait");
        sleep(Duration::from_millis(50)).await;
    }
    assert!((30..=75).contains(&source.asked()), "{}", source.asked());
    source.dry.store(false, Ordering::SeqCst);
    let waiting = clients.iter().map(|client| client.clone().newer_than(Token::new("token-0").unwrap()));
    let asked = source.asked();
    join_all(waiting).await;
    assert_eq!(source.asked(), asked + 1);
    assert!(began.elapsed() < Duration::from_secs(60) + limits::TOKEN_SAME_PAUSE * 2);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_holds_nobody_up_for_long_and_is_not_asked_more_often_for_it() {
    let source = Numbered::default();
    source.hangs.store(true, Ordering::SeqCst);
    let clients = clients(&SharedTokens::new(source.clone()));
    let began = Instant::now();
    assert!(all(&clients, false).await.iter().all(Result::is_err));
    assert_eq!((began.elapsed(), source.asked()), (limits::TOKEN_TIMEOUT, 1));
    // Callers that give up early count as failures too.
    sleep(*limits::TOKEN_PAUSE.start()).await;
    for _ in 0..100 {
        drop(tokio::time::timeout(Duration::from_millis(100), all(&clients, false)).await);
        sleep(Duration::from_millis(100)).await;
    }
    assert!(source.asked() <= 12, "{}", source.asked());
    source.hangs.store(false, Ordering::SeqCst);
    sleep(*limits::TOKEN_PAUSE.end()).await;
    assert!(all(&clients, false).await.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_ahead_at_a_share_of_its_life_and_kept_if_that_fails() {
    let lives = Duration::from_secs(1_000);
    let source = Numbered { lives: Some(lives), ..Numbered::default() };
    let clients = clients(&SharedTokens::new(source.clone()));
    let old = clients[0].token(false).await.unwrap();
    let began = Instant::now();
    let rotated = join_all(clients.iter().map(|client| client.clone().rotated(old.clone()))).await;
    assert!(rotated.iter().all(|token| token.as_str() == "token-1"));
    assert_eq!((source.asked(), source.renewals.load(Ordering::SeqCst)), (2, 1));
    let share = began.elapsed().as_secs_f64() / lives.as_secs_f64();
    assert!((0.69..=0.91).contains(&share), "{share}");

    source.fails.store(true, Ordering::SeqCst);
    sleep(lives.mul_f64(0.95)).await;
    assert!(are(&all(&clients, false).await, "token-1"), "it is good for a while yet");
    assert_eq!(source.asked(), 3);
    sleep(lives.mul_f64(0.06)).await;
    assert!(all(&clients, false).await.iter().all(Result::is_err), "it has expired");
}

#[tokio::test(start_paused = true)]
async fn the_life_of_a_token_is_what_its_own_exp_says_unless_the_clock_is_wrong() {
    struct Jwt(i64, AtomicUsize);
    impl TokenSource for Jwt {
        async fn token(&self, _: TokenRequest) -> Result<String, TokenError> {
            let number = self.1.fetch_add(1, Ordering::SeqCst);
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
            let claims = format!(r#"{{"exp":{},"jti":{number}}}"#, now.checked_add_signed(self.0).unwrap());
            Ok(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims)))
        }
    }
    for (lives, least, most) in [(3_600, 2_500, 3_300), (-100, 59, 62)] {
        let client = Credentials::of(SharedTokens::new(Jwt(lives, AtomicUsize::new(0))));
        let old = client.token(false).await.unwrap();
        let began = Instant::now();
        client.clone().rotated(old).await;
        let after = began.elapsed().as_secs();
        assert!((least..=most).contains(&after), "{after}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_token_file_is_used_though_nobody_refused_the_old_one() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let client = Credentials::of(SharedTokens::file(file.path()));
    for token in ["one", "two", &"t".repeat(LONGEST)] {
        std::fs::write(file.path(), format!("{token}\n")).unwrap();
        sleep(limits::TOKEN_FILE_INTERVAL).await;
        let read = client.token(false).await.unwrap();
        assert!(read.as_str() == token && read.header().unwrap().len() <= TOKEN_BYTES);
    }
    // A moment in which it is not whole is no reason to have none.
    std::fs::write(file.path(), "").unwrap();
    sleep(limits::TOKEN_FILE_INTERVAL).await;
    let old = client.token(false).await.unwrap();
    assert!(client.token(true).await.unwrap_err().to_string().contains("empty"));
    let began = Instant::now();
    let rotated = tokio::spawn(client.clone().rotated(old));
    sleep(Duration::from_secs(5)).await;
    std::fs::write(file.path(), "three").unwrap();
    assert_eq!(rotated.await.unwrap().as_str(), "three");
    assert!(began.elapsed() <= Duration::from_secs(5) + limits::TOKEN_FILE_INTERVAL);
    // One that was refused is followed at once.
    std::fs::write(file.path(), "four").unwrap();
    assert_eq!(client.token(true).await.unwrap().as_str(), "four");

    let missing = Credentials::of(SharedTokens::file("/nonexistent/token"));
    assert!(missing.token(false).await.unwrap_err().to_string().contains("/nonexistent/token"));
}

fn shell(script: &str) -> Credentials {
    Credentials::of(SharedTokens::command("sh", ["-c", script]))
}

#[tokio::test]
async fn a_command_prints_the_token_or_json_with_it() {
    for (script, wanted) in [
        ("echo one", "one"),
        (r#"echo '{"access_token": "two", "expires_in": 60}'"#, "two"),
        (r#"echo '{"id_token": "three"}'; echo a word >&2"#, "three"),
    ] {
        assert_eq!(shell(script).token(false).await.unwrap().as_str(), wanted);
    }
    // What a shell would have taken apart is one argument.
    let client = Credentials::of(SharedTokens::command("printf", ["%s", "$(id);x"]));
    assert_eq!(client.token(false).await.unwrap().as_str(), "$(id);x");
}

#[tokio::test]
async fn a_command_that_fails_says_why_and_never_the_token() {
    for (script, part) in [
        ("echo hunter2; echo no luck with hunter2 >&2; exit 3", "exit status: 3: no luck with …"),
        ("exit 1", "exit status: 1"),
        ("kill -9 $$", "signal: 9"),
        ("true", "printed nothing"),
        ("echo '{\"password\": \"hunter2\"}'", "printed neither"),
        ("echo '{hunter2'", "printed neither"),
        ("echo hunter2 hunter2", "characters that no token has"),
        ("yes hunter2", "prints more than 8192 bytes"),
        ("yes hunter2 | head -c 8193", "prints more than 8192 bytes"),
        ("yes wordy | head -c 100000 >&2; exit 1", "wordy wordy"),
    ] {
        let error = shell(script).token(false).await.unwrap_err().to_string();
        assert!(error.contains(part) && !error.contains("hunter2") && error.len() < 400, "{script}: {error}");
    }
    let missing = Credentials::of(SharedTokens::command("/nonexistent/login", [""; 0]));
    let error = missing.token(false).await.unwrap_err().to_string();
    assert!(error.contains("/nonexistent/login"), "{error}");
}

#[tokio::test]
async fn a_command_that_nobody_waits_for_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pid");
    let client = shell(&format!("echo $$ > {}; exec sleep 600", path.display()));
    let asking = tokio::spawn(async move { client.token(false).await });
    let until = |wanted: bool| {
        let path = path.clone();
        async move {
            loop {
                let pid = std::fs::read_to_string(&path).unwrap_or_default();
                let pid = pid.trim();
                let runs =
                    !pid.is_empty() && std::path::Path::new(&format!("/proc/{pid}/cwd")).read_link().is_ok();
                if runs == wanted {
                    return;
                }
                sleep(Duration::from_millis(10)).await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), until(true)).await.unwrap();
    asking.abort();
    tokio::time::timeout(Duration::from_secs(10), until(false)).await.unwrap();
}

#[test]
fn a_token_is_never_shown() {
    let token = Token::new("s3cret").unwrap();
    let issued = Issued::new("s3cret".to_owned()).lives(Duration::from_secs(1));
    assert!(!format!("{token:?} {issued:?} {:?}", token.header().unwrap()).contains("s3cret"));
    for bad in ["", " ", "a b", "a\u{e9}", "a\nb"] {
        assert!(Token::new(bad).is_err(), "{bad:?}");
    }
}
