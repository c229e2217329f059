//! Precedence, mistakes, and the way back from `--print-config`.

use super::*;
use crate::config::{JwksLocation, LogFormat};
use clap::{Args, FromArgMatches};
use std::time::Duration;

const BACKENDS: [&str; 2] = ["embedded", "dynamodb"];

fn flags(line: &[&str]) -> ServeArgs {
    let command = ServeArgs::augment_args(clap::Command::new("serve").no_binary_name(true));
    ServeArgs::from_arg_matches(&command.try_get_matches_from(line).unwrap()).unwrap()
}

fn env(variables: &[(&str, &str)]) -> impl Iterator<Item = (OsString, OsString)> {
    let owned: Vec<_> = variables.iter().map(|(a, b)| (a.into(), b.into())).collect();
    owned.into_iter()
}

/// A configuration file with this text.
fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn load_file(text: &str) -> Result<Loaded, ConfigErrors> {
    let file = file(text);
    load(&flags(&["--config", file.path().to_str().unwrap()]), env(&[]), &BACKENDS)
}

/// The mistakes in `text`, one line each.
fn mistakes(text: &str) -> Vec<String> {
    load_file(text).unwrap_err().iter().map(ToString::to_string).collect()
}

fn assert_one(mistakes: &[String], parts: &[&str]) {
    let fits = |mistake: &&String| parts.iter().all(|part| mistake.contains(part));
    assert_eq!(mistakes.iter().filter(fits).count(), 1, "{parts:?} in {mistakes:#?}");
}

#[test]
fn later_places_win() {
    let file = file(
        "plaintext = true\nlisten = '1.1.1.1:1'\nhttp = '1.1.1.1:2'\n[auth]\ndevelopment = true\n[times]\nheartbeat = '1s'\ndrain = '2s'\n[log]\nformat = 'json'\n",
    );
    let path = file.path().to_str().unwrap();
    let variables =
        [("CONFHUB_HTTP", "2.2.2.2:2"), ("CONFHUB_TIMES_HEARTBEAT", "3s"), ("CONFHUB_CONFIG", path)];
    let args = flags(&["--heartbeat", "4s", "--set", "limits.streams=7", "--log", "warn,confhub=debug"]);
    let loaded = load(&args, env(&variables), &BACKENDS).unwrap();
    let settings = &loaded.settings;
    assert_eq!(settings.listen, "1.1.1.1:1".parse().unwrap());
    assert_eq!(settings.http, "2.2.2.2:2".parse().unwrap());
    assert_eq!(settings.times.heartbeat, Duration::from_secs(4));
    assert_eq!(settings.times.drain, Duration::from_secs(2));
    assert_eq!(settings.limits.streams, 7);
    assert_eq!(settings.log.format, LogFormat::Json);
    assert_eq!(settings.times.reconcile, Settings::default().times.reconcile);
    let source = |name: &str| loaded.source(name).unwrap().to_string();
    assert_eq!(source("times.drain"), format!("file {path}, line 8"));
    assert_eq!(source("http"), "environment CONFHUB_HTTP");
    assert_eq!(source("times.heartbeat"), "flag --heartbeat");
    assert_eq!(source("limits.streams"), "flag --set");
    assert_eq!(source("times.reconcile"), "default");
    assert_eq!(loaded.source("no-such"), None);
}

#[test]
fn all_mistakes_come_at_once_each_with_its_place_and_what_was_expected() {
    let file =
        file("listen = 'here'\n\n[limits]\nvalue-bytes = '1GiB'\nstreems = 5\n[times]\nheartbeat = 15\n");
    let path = file.path().to_str().unwrap();
    let variables = [("CONFHUB_LOG_FORMAT", "yaml"), ("CONFHUB_DATA_DRI", "/x")];
    let args =
        flags(&["--config", path, "--http", "7601", "--set", "times.drian=1s", "--set", "times.drain"]);
    let errors = load(&args, env(&variables), &BACKENDS).unwrap_err();
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_one(&lines, &["listen (file", "line 1", "`here` is wrong", "127.0.0.1:7600"]);
    assert_one(&lines, &["limits.value-bytes (file", "line 4", "`1GiB`", "to 512KiB"]);
    assert_one(&lines, &["limits.streems", "line 5", "did you mean `limits.streams`?"]);
    assert_one(&lines, &["times.heartbeat", "line 7", "`15` is wrong", "a duration such as"]);
    assert_one(&lines, &["log.format (environment CONFHUB_LOG_FORMAT)", "`yaml`", "`text` or `json`"]);
    assert_one(&lines, &["CONFHUB_DATA_DRI", "did you mean `CONFHUB_DATA_DIR`?"]);
    assert_one(&lines, &["http (flag --http)", "`7601` is wrong"]);
    assert_one(&lines, &["times.drian (flag --set)", "did you mean `times.drain`?"]);
    assert_one(&lines, &["times.drain (flag --set)", "has no value"]);
    assert_eq!(lines.len(), 9, "{errors}");
    let order: Vec<_> = errors.iter().map(|error| error.setting.as_str()).collect();
    let expected = [
        "listen",
        "limits.value-bytes",
        "limits.streems",
        "times.heartbeat",
        "CONFHUB_DATA_DRI",
        "log.format",
        "http",
        "times.drian",
        "times.drain",
    ];
    assert_eq!(order, expected);
    assert!(errors.to_string().starts_with("the configuration has 9 mistakes:\n  - "));
}

#[test]
fn a_file_with_wrong_syntax_types_or_groups_is_explained() {
    assert_one(&mistakes("listen = \n"), &["syntax", "line 1"]);
    assert_one(&mistakes("a = 1\na = 2\n"), &["syntax", "line 2"]);
    assert_one(&mistakes("times = 5\n"), &["times (", "is a group of settings, not integer"]);
    assert_one(&mistakes("listen = true\n"), &["listen (", "`true` is wrong"]);
    assert_one(&mistakes("[auth]\naudience = [1]\n"), &["auth.audience", "something else than strings"]);
    assert_one(&mistakes("[tiems]\ndrain = '1s'\n"), &["tiems (", "did you mean `times`?"]);
    assert_one(&mistakes("[log]\nfilter = 'confhub=loud'\n"), &["log.filter", "`confhub=loud`"]);
    let missing = flags(&["--config", "/no/such/confhub.toml"]);
    let errors = load(&missing, env(&[]), &BACKENDS).unwrap_err().to_string();
    assert!(errors.contains("/no/such/confhub.toml") && errors.contains("cannot be read"), "{errors}");
}

#[test]
fn values_outside_their_bounds_are_refused() {
    for (text, part) in [
        ("times.heartbeat = '99ms'", "from 100ms to 10m"),
        ("times.heartbeat = '11m'", "from 100ms to 10m"),
        ("limits.streams = 0", "from 1 to"),
        ("limits.streams = -1", "from 1 to"),
        ("limits.value-bytes = '513KiB'", "to 512KiB"),
        ("data-dir = ''", "a path"),
        ("auth.tenant-claim = ''", "a text"),
        ("auth.tenant-claim = '/a~b'", "JSON Pointer"),
        ("auth.token-use = 'refresh'", "`any`"),
    ] {
        assert_one(&mistakes(text), &[part]);
    }
}

#[test]
fn mistakes_between_settings_are_found() {
    assert_one(&mistakes("auth.issuer = 'i'"), &["auth.issuer (file", "`auth.jwks` is not set"]);
    assert_one(&mistakes("auth.issuer = 'http://i'"), &["auth.issuer (file", "loopback"]);
    assert_one(&mistakes("auth.token-use = 'id'"), &["auth.token-use", "no effect without"]);
    assert_one(&mistakes("auth.jwks = 'keys.json'"), &["auth.jwks (file", "`auth.issuer` is not"]);
    assert_one(&mistakes("auth.audience = ['a']"), &["auth.audience", "no effect without `auth.issuer`"]);
    assert_one(&mistakes("auth.jwks-refresh = '1m'"), &["auth.jwks-refresh", "no effect without"]);
    let both = "auth.issuer = 'i'\nauth.jwks = 'keys.json'\nauth.development = true";
    assert_one(&mistakes(both), &["auth.development", "an issuer is set"]);
    assert_one(&mistakes("http = '127.0.0.1:7600'"), &["http (", "different ports"]);
    assert_one(&mistakes("limits.tenant-bytes = 10"), &["limits.tenant-bytes", "limits.value-bytes"]);
    assert_one(&mistakes("[backends]\nx_ = 'embeded'"), &["backends", "did you mean `embedded`?"]);
    assert_one(&mistakes("[backends]\n'a/b' = 'embedded'"), &["backends", "prefix `a/b`"]);
    assert_one(&mistakes("[backends]\n"), &["backends", "without a backend"]);
    let url = "auth.issuer = 'i'\nauth.jwks = 'http://idp.example/jwks'";
    let url = mistakes(url);
    assert_one(&url, &["auth.jwks", "loopback"]);
    assert_eq!(url.len(), 1, "what is wrong by itself is not reported again: {url:?}");
}

#[test]
fn the_environment_has_names_that_are_not_ours() {
    let variables = [
        ("CONFHUB_ENDPOINT", "http://x"),
        ("CONFHUB_TOKEN", "t"),
        ("CONFHUB_HEALTH_URL", "http://127.0.0.1:7601/livez"),
        ("CONFHUB_PORT_7600_TCP_ADDR", "10.0.0.1"),
        ("CONFHUB_SERVICE_HOST", "10.0.0.1"),
        ("CONFHUB_PORT", "tcp://10.0.0.1:7600"),
        ("CONFHUB_GRPC_PORT", "tcp://10.0.0.1:7600"),
        ("CONFHUB_GRPC_PORT_7600_TCP", "tcp://10.0.0.1:7600"),
        ("CONFHUB_GRPC_PORT_7600_TCP_ADDR", "10.0.0.1"),
        ("CONFHUB_GRPC_SERVICE_HOST", "10.0.0.1"),
        ("CONFHUB_GRPC_SERVICE_PORT", "7600"),
        ("CONFHUB_GRPC_SERVICE_PORT_HTTP", "7601"),
        ("PATH", "/bin"),
        ("CONFHUB_BACKENDS", "a_=embedded, a_b_=dynamodb"),
    ];
    let loaded = load(&ServeArgs::default(), env(&variables), &BACKENDS).unwrap();
    let routes: Vec<_> = loaded.settings.backends.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(routes, [("a_", "embedded"), ("a_b_", "dynamodb")]);
}

#[test]
fn an_empty_variable_takes_no_issuer_away() {
    let file = file("auth.issuer = 'https://i'\nauth.jwks = 'https://i/k'\n");
    let args = flags(&["--config", file.path().to_str().unwrap()]);
    let variables = [("CONFHUB_AUTH_ISSUER", ""), ("CONFHUB_AUTH_JWKS", ""), ("CONFHUB_LISTEN", "")];
    let loaded = load(&args, env(&variables), &BACKENDS).unwrap();
    assert_eq!(loaded.settings.auth.issuer.as_deref(), Some("https://i"));
    assert!(matches!(loaded.source("auth.issuer"), Some(Source::File { .. })));
    // One that is no setting is a mistake all the same.
    assert!(load(&args, env(&[("CONFHUB_AUTH_ISSUR", "")]), &BACKENDS).is_err());
}

#[test]
fn development_tokens_beyond_this_machine_need_a_word() {
    for beyond in ["0.0.0.0:7600", "[::]:7600", "10.0.0.1:7600"] {
        let refused = mistakes(&format!("plaintext = true\nlisten = '{beyond}'"));
        assert_one(&refused, &["listen (file", beyond, "auth.development = true"]);
        for leave in ["auth.development = true", "auth.issuer = 'i'\nauth.jwks = 'keys.json'"] {
            assert!(
                load_file(&format!("plaintext = true\nlisten = '{beyond}'\n{leave}")).is_ok(),
                "{beyond} {leave}"
            );
        }
    }
    assert!(load_file("listen = '[::1]:7600'").is_ok());
}

#[test]
fn plaintext_beyond_this_machine_needs_a_word_on_both_ports() {
    for port in ["listen", "http"] {
        for beyond in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1"] {
            let beyond = format!("{port} = '{beyond}'\nauth.development = true");
            let refused = mistakes(&beyond);
            assert_one(&refused, &[port, "without TLS", "`tls.certificate`", "`plaintext = true`"]);
            for leave in ["plaintext = true", "tls.certificate = 'c'\ntls.key = 'k'"] {
                assert!(load_file(&format!("{beyond}\n{leave}")).is_ok(), "{beyond} {leave}");
            }
        }
    }
}

#[test]
fn half_of_what_tls_needs_is_a_mistake() {
    for (file, parts) in [
        ("tls.certificate = 'c'", ["tls.certificate", "`tls.key` is not"]),
        ("tls.key = 'k'", ["tls.key", "`tls.certificate` is not"]),
        ("tls.client-ca = 'c'", ["tls.client-ca", "no effect"]),
        ("tls.client-certificates = 'optional'", ["tls.client-certificates", "no effect"]),
        ("plaintext = true\ntls.certificate = 'c'\ntls.key = 'k'", ["plaintext", "both ports speak TLS"]),
        ("tls.client-certificates = 'maybe'", ["tls.client-certificates", "`required` or `optional`"]),
    ] {
        assert_one(&mistakes(file), &parts);
    }
}

#[test]
fn a_variable_that_is_no_text_is_a_mistake_unless_it_is_a_path_or_not_ours() {
    use std::os::unix::ffi::OsStringExt;
    let wrong = || OsString::from_vec(vec![b'/', 0xff]);
    let load = |name: &str| load(&ServeArgs::default(), [(name.into(), wrong())].into_iter(), &BACKENDS);
    assert!(load("HOME").is_ok());
    let error = load("CONFHUB_DATA_DIR").unwrap_err().to_string();
    assert!(error.contains("CONFHUB_DATA_DIR") && error.contains("not UTF-8"), "{error}");
    let error = load("CONFHUB_CONFIG").unwrap_err().to_string();
    assert!(error.contains("cannot be read"), "the file is looked for: {error}");
}

#[test]
fn what_is_printed_is_a_file_that_says_the_same() {
    let odd = "a \"quoted\"\\folder\n\u{7f}é";
    let args = flags(&["--issuer", "https://i", "--jwks", "https://i/k", "--audience", "a, b"]);
    let variables = [
        ("CONFHUB_DATA_DIR", odd),
        ("CONFHUB_READY_FILE", "/run/ready"),
        ("CONFHUB_LIMITS_VALUE_BYTES", "1000"),
        ("CONFHUB_TIMES_RECONCILE", "90s"),
        ("CONFHUB_BACKENDS", "b_=dynamodb"),
        ("CONFHUB_LOG_FORMAT", "json"),
    ];
    let first = load(&args, env(&variables), &BACKENDS).unwrap();
    assert_eq!(first.settings.data_dir.to_str(), Some(odd));
    assert_eq!(first.settings.auth.jwks, Some(JwksLocation::Url("https://i/k".to_owned())));
    for loaded in [first, load(&ServeArgs::default(), env(&[]), &BACKENDS).unwrap()] {
        let printed = loaded.to_toml();
        let again = load_file(&printed).unwrap_or_else(|errors| panic!("{errors}\n{printed}"));
        assert_eq!(format!("{:?}", again.settings), format!("{:?}", loaded.settings));
    }
}

#[test]
fn the_printed_file_names_each_setting_and_its_source() {
    let loaded = load(&flags(&["--heartbeat", "1s"]), env(&[("CONFHUB_HTTP", "[::1]:1")]), &BACKENDS);
    let printed = loaded.unwrap().to_toml();
    assert!(printed.contains("\nheartbeat = \"1s\" # flag --heartbeat\n"), "{printed}");
    assert!(printed.contains("\nhttp = \"[::1]:1\" # environment CONFHUB_HTTP\n"));
    assert!(printed.contains("\nlisten = \"127.0.0.1:7600\" # default\n"));
    for setting in TABLE {
        assert!(printed.contains(setting.help()), "{}", setting.name());
    }
}

#[test]
fn issuers_come_as_tables_or_as_toml_in_one_line() {
    let file = "[auth.issuers.'https://a']\naudience = ['x', 'y']\ntenant = 'acme'\n\
                [auth.issuers.b]\njwks = 'keys.json'\ntenant-claim = '/app/tenant'\ntoken-use = 'access'\n";
    let line = "{ 'https://a' = { audience = ['x', 'y'], tenant = 'acme' }, \
                b = { jwks = 'keys.json', tenant-claim = '/app/tenant', token-use = 'access' } }";
    let by_env = load(&flags(&[]), env(&[("CONFHUB_AUTH_ISSUERS", line)]), &BACKENDS).unwrap();
    let by_flag = load(&flags(&["--set", &format!("auth.issuers={line}")]), env(&[]), &BACKENDS).unwrap();
    for loaded in [load_file(file).unwrap(), by_env, by_flag] {
        let issuers = loaded.settings.auth.accepted();
        assert_eq!(issuers.len(), 2);
        assert_eq!(issuers[0].issuer, "https://a");
        assert_eq!(issuers[0].tenant.as_ref().unwrap().as_str(), "acme");
        assert_eq!(issuers[0].audience.as_ref().unwrap(), &["x", "y"]);
        assert_eq!(issuers[0].roles_claim, None);
        assert_eq!(issuers[1].jwks, Some(JwksLocation::File("keys.json".into())));
        assert_eq!(issuers[1].tenant_claim.as_deref(), Some("/app/tenant"));
        assert_eq!(issuers[1].token_use, Some(crate::config::TokenUse::Access));
        let again = load_file(&loaded.to_toml()).unwrap();
        assert_eq!(again.settings.auth.issuers, loaded.settings.auth.issuers);
    }
}

#[test]
fn a_wrong_issuer_is_named_with_its_place_and_its_key() {
    for (text, parts) in [
        ("x.audience = true", ["in `x`: `audience` is", "an array of texts"]),
        ("x.audiense = 'a'", ["in `x`: there is no `audiense`", "expected is"]),
        ("x.jwks = 'http://idp.example/k'", ["in `x`: `jwks`", "loopback"]),
        ("x.tenant = 'a/b'", ["in `x`: `tenant` is `a/b`", "tenant"]),
        ("x.tenant = 'confhub.hub'", ["in `x`: `tenant`", "the hub itself"]),
        ("x.token-use = 'refresh'", ["in `x`: `token-use`", "`access`"]),
        ("x.tenant-claim = '/~'", ["in `x`: `tenant-claim`", "JSON Pointer"]),
        ("x = { jwks = 'k', tenant = 'a', tenant-claim = 'b' }", ["in `x`", "no effect"]),
        ("'' = { jwks = 'k' }", ["auth.issuers", "empty name"]),
        ("x = 'y'", ["auth.issuers", "a table of issuers"]),
        ("x = { jwks = '' }", ["has `x`", "its `jwks` is not set"]),
        ("'http://far.example' = {}", ["has `http://far.example`", "loopback"]),
    ] {
        let wrong = mistakes(&format!("\n[auth.issuers]\n{text}\n"));
        assert_one(&wrong, &parts);
        assert_one(&wrong, &["line 2"]);
    }
    let twice = "auth.issuer = 'https://i'\nauth.issuers = { 'https://i' = {} }";
    assert_one(&mistakes(twice), &["auth.issuers (file", "name it once"]);
    let many: String = (0..33).map(|n| format!("i{n} = {{ jwks = 'k' }}\n")).collect();
    assert_one(&mistakes(&format!("[auth.issuers]\n{many}")), &["they are 33; at most 32"]);
    let error = load(&flags(&["--set", "auth.issuers={ a = "]), env(&[]), &BACKENDS).unwrap_err().to_string();
    assert!(error.contains("flag --set"), "{error}");
}
