//! Operators turn flags on and off, for all or for some, and learn why somebody gets what;
//! what they do is what services see.

use crate::support::{Hub, Operator, client, until_state};
use confhub_client::flags::{Context, HashVersion, Reason};
use serde_json::{Value, json};
use std::path::Path;

const DEMO: &str = include_str!("../hub/demo/otel-demo.flagd.json");

/// What the flag gives somebody, as an operator is told.
async fn evaluate(operator: &Operator, args: &[&str]) -> Value {
    operator.json(&[&["flag", "evaluate"], args].concat()).await
}

fn written(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn a_flag_is_made_turned_on_and_off_and_shown() {
    let hub = Hub::start().await;
    let operator = Operator::of(&hub, "acme");
    let service = client(&hub, "acme").service("cart").connect().await.unwrap();
    let (flags, context) = (service.flags(), Context::of("user-1"));
    let key = "tenant_config_flag.newCheckout";
    let version = async |wanted: u64| {
        until_state(&service, "the flag", |state| {
            state.get(key).is_some_and(|entry| entry.version() == wanted)
        })
        .await;
    };

    let created = operator.json(&["flag", "create", "newCheckout", "--description", "a \"new\" one"]).await;
    let now = "everybody gets `off`";
    assert_eq!(
        created,
        json!({"name": "newCheckout", "key": key, "service": null, "version": 1, "changed": true, "now": now})
    );
    version(1).await;
    assert!(!flags.boolean("newCheckout", true, &context));
    assert_eq!(operator.run(&["flag", "create", "newCheckout"]).await.code, Some(4), "there is one");

    assert_eq!(operator.json(&["flag", "on", "newCheckout"]).await["version"], 2);
    version(2).await;
    assert!(flags.boolean("newCheckout", false, &context));
    let again = operator.json(&["flag", "on", "newCheckout"]).await;
    assert_eq!((&again["changed"], &again["version"]), (&json!(false), &json!(2)), "nothing is written");
    let before = operator.ok(&["get", "--raw", key]).await;
    assert_eq!(operator.json(&["flag", "off", "newCheckout"]).await["version"], 3);
    version(3).await;
    assert!(!flags.boolean("newCheckout", true, &context));
    assert!(operator.ok(&["flag", "list"]).await.contains("all get off"));
    operator.ok(&["flag", "on", "newCheckout"]).await;
    assert_eq!(operator.ok(&["get", "--raw", key]).await, before, "every byte is what it was");

    let shown = operator.ok(&["flag", "show", "newCheckout"]).await;
    for said in
        ["version 4", "everybody gets `on`", "a \\\"new\\\" one", "confhub history tenant_config_flag"]
    {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    let listed = &operator.json(&["flag", "list"]).await["flags"][0];
    assert_eq!((&listed["state"], &listed["default_variant"]), (&json!("ENABLED"), &json!("on")));
    assert_eq!((&listed["variants"], &listed["targeting"]), (&json!(["off", "on"]), &json!(false)));
    operator.ok(&["rollback", key, "1"]).await;
    version(5).await;
    assert!(!flags.boolean("newCheckout", true, &context));

    operator.ok(&["flag", "off", "newCheckout", "--disable"]).await;
    version(6).await;
    let details = flags.boolean_details("newCheckout", true, &context);
    assert_eq!((details.value, details.reason), (true, Reason::Disabled));
    operator.ok(&["flag", "on", "newCheckout"]).await;
    version(7).await;
    assert!(!flags.boolean("newCheckout", true, &context), "it is what it was");
}

#[tokio::test]
async fn what_a_flag_had_before_it_was_turned_off_it_has_when_it_is_on_again() {
    let hub = Hub::start().await;
    let operator = Operator::of(&hub, "acme");
    operator.ok(&["flag", "create", "x"]).await;
    operator.ok(&["flag", "set-percentage", "x", "100"]).await;
    operator.ok(&["flag", "off", "x"]).await;
    let user = ["x", "--targeting-key", "u", "--context", "plan=pro"];
    assert_eq!(evaluate(&operator, &user).await["variant"], "off");
    // Shares and rules can be made ready meanwhile.
    operator.ok(&["flag", "set-percentage", "x", "0"]).await;
    operator.ok(&["flag", "target", "x", "--attribute", "plan", "--equals", "pro", "--then", "on"]).await;
    assert_eq!(evaluate(&operator, &user).await["variant"], "off", "it is off until it is turned on");
    operator.ok(&["flag", "on", "x"]).await;
    assert_eq!(evaluate(&operator, &user).await["variant"], "on");
    assert_eq!(evaluate(&operator, &user[..3]).await["variant"], "off", "the share is 0");
    operator.ok(&["flag", "off", "x"]).await;
    operator.ok(&["flag", "target", "x", "--clear"]).await;
    assert_eq!(evaluate(&operator, &user).await["variant"], "off");
}

/// Also what the services say, with the same users.
#[tokio::test]
async fn percentages_only_ever_move_users_in_one_direction() {
    const USERS: usize = 2_000;
    let hub = Hub::start().await;
    let operator = Operator::of(&hub, "acme");
    let folder = tempfile::tempdir().unwrap();
    let users: Vec<_> = (0..USERS).map(|user| format!("user-{user}")).collect();
    let contexts: Vec<_> = users.iter().map(|user| json!({"targetingKey": user})).collect();
    let file = written(folder.path(), "users.json", &json!(contexts).to_string());
    let services = ["cart", "checkout"].map(|name| client(&hub, "acme").service(name));
    let mut clients = Vec::new();
    for service in services {
        clients.push(service.connect().await.unwrap());
    }
    operator.ok(&["flag", "create", "newCheckout"]).await;
    let mut before = vec![false; USERS];
    for (step, share) in ["5", "20", "50"].into_iter().enumerate() {
        operator.ok(&["flag", "set-percentage", "newCheckout", share]).await;
        let answer = evaluate(&operator, &["newCheckout", "--context-file", &file]).await;
        let results = answer["results"].as_array().unwrap();
        let after: Vec<_> = results.iter().map(|result| result["value"] == true).collect();
        assert_eq!(after.len(), USERS);
        let lost = before.iter().zip(&after).filter(|(before, after)| **before && !**after).count();
        assert_eq!(lost, 0, "at {share} %");
        let have = after.iter().filter(|has| **has).count();
        assert_eq!(answer["variants"]["on"], have);
        // Six standard deviations about what is to be expected.
        let share: f64 = share.parse().unwrap();
        let (mean, spread) =
            (share * 20.0, 6.0 * (USERS as f64 * share / 100.0 * (1.0 - share / 100.0)).sqrt());
        assert!((have as f64 - mean).abs() < spread, "{have} at {share} %");
        for client in &clients {
            until_state(client, "the share", |state| {
                state
                    .get("tenant_config_flag.newCheckout")
                    .is_some_and(|entry| entry.version() == step as u64 + 2)
            })
            .await;
            let flags = client.flags();
            for (user, has) in users.iter().zip(&after) {
                assert_eq!(flags.boolean("newCheckout", !has, &Context::of(user.as_str())), *has, "{user}");
            }
        }
        before = after;
    }
}

#[tokio::test]
async fn two_operators_never_overwrite_each_other() {
    let hub = Hub::start().await;
    let operator = Operator::of(&hub, "acme");
    operator.ok(&["flag", "create", "x"]).await;
    operator.ok(&["flag", "on", "x", "--expect-version", "1"]).await;
    for stale in [
        &["flag", "off", "x", "--expect-version", "1"][..],
        &["flag", "on", "x", "--expect-version", "1"],
        &["flag", "set-percentage", "x", "5", "--expect-version", "3"],
        &["flag", "target", "x", "--clear", "--expect-version", "9"],
    ] {
        let ran = operator.run(stale).await;
        assert_eq!(ran.code, Some(4), "{stale:?}: {ran:?}");
        assert!(ran.err.contains("has version 2, not"), "{ran:?}");
    }
    // At the same time, each change is made on top of the other, or refused.
    let (a, b) = tokio::join!(
        operator.run(&["flag", "set-percentage", "x", "5"]),
        operator.run(&["flag", "target", "x", "--attribute", "plan", "--equals", "pro", "--then", "off"]),
    );
    let done = [&a, &b].iter().filter(|ran| ran.code == Some(0)).count();
    assert!(done >= 1 && [&a, &b].iter().all(|ran| matches!(ran.code, Some(0 | 4))), "{a:?} {b:?}");
    assert_eq!(operator.json(&["flag", "show", "x"]).await["version"], 2 + done);
    for missing in [&["flag", "on", "y"][..], &["flag", "show", "y"], &["flag", "evaluate", "y"]] {
        let ran = operator.run(missing).await;
        assert!(ran.code == Some(3) && ran.err.contains("no shared flag `y`"), "{ran:?}");
    }
    let ran = operator.run(&["flag", "off", "x", "--service", "cart"]).await;
    assert!(ran.code == Some(3) && ran.err.contains("sees the shared one"), "{ran:?}");
}

#[tokio::test]
async fn an_evaluation_says_which_rule_has_matched() {
    let hub = Hub::start().await;
    let operator = Operator::of(&hub, "acme");
    operator.ok(&["flag", "create", "x"]).await;
    for condition in [
        &["--attribute", "email", "--ends-with", "@acme.example"][..],
        &["--attribute", "age", "--one-of", "33,44"],
        &["--attribute", "version", "--at-least", "2.4.0"],
        &["--attribute", "name", "--starts-with", "A"],
        &["--if", r#"{">": [{"var": "spent"}, 100]}"#],
    ] {
        operator.ok(&[&["flag", "target", "x", "--then", "on"], condition].concat()).await;
    }
    for (context, variant, at) in [
        ("spent=101", "on", "/targeting/if/1"),
        ("name=Ada", "on", "/targeting/if/3"),
        ("version=2.10.0", "on", "/targeting/if/5"),
        ("age=44", "on", "/targeting/if/7"),
        ("email=a@acme.example", "on", "/targeting/if/9"),
        ("email=a@other.example", "off", ""),
    ] {
        let told = evaluate(&operator, &["x", "-c", context]).await;
        assert_eq!(told["variant"], variant, "{context}: {told}");
        assert_eq!(told["decided_at"].as_str().unwrap_or_default(), at, "{context}: {told}");
        let reason = if at.is_empty() { "DEFAULT" } else { "TARGETING_MATCH" };
        assert_eq!(told["reason"], reason);
        assert_eq!(told["steps"][0]["operator"], "if");
    }
    let text = operator.ok(&["flag", "evaluate", "x", "-k", "user-1", "-c", "age=44"]).await;
    for said in ["for user-1", "variant  on", "decided  /targeting/if/7", "/targeting/if/6/in", "= true"] {
        assert!(text.contains(said) || said.ends_with("/in"), "{said}: {text}");
    }
    operator.ok(&["flag", "target", "x", "--clear"]).await;
    operator.ok(&["flag", "set-percentage", "x", "50"]).await;
    for hash in [HashVersion::Cbor, HashVersion::Text, HashVersion::Percent] {
        let told = evaluate(&operator, &["x", "-k", "user-1", "--hash", hash.as_str()]).await;
        let note = told["steps"][0]["note"].as_str().unwrap();
        assert!(note.starts_with("bucket ") && note.contains(&format!("({})", hash.as_str())), "{told}");
    }
    // A service's own flag, and what it shares there, are what the service sees.
    operator.ok(&["flag", "create", "x", "--service", "cart", "--on"]).await;
    assert_eq!(evaluate(&operator, &["x", "--service", "cart"]).await["service"], "cart");
    assert_eq!(evaluate(&operator, &["x", "--service", "ad"]).await["service"], Value::Null);
    for bad in [&["x", "-c", "age"][..], &["x", "--hash", "md5"], &["x", "--context-file", "/nowhere"]] {
        let ran = operator.run(&[&["flag", "evaluate"], bad].concat()).await;
        assert!(matches!(ran.code, Some(1 | 2)), "{bad:?}: {ran:?}");
    }
    let ran = operator
        .feed(&["flag", "evaluate", "x", "--context-file", "-"], r#"[{}, {"targetingKey": 1}]"#)
        .await;
    assert!(ran.code == Some(2) && ran.err.contains("number 2"), "{ran:?}");
}

#[tokio::test]
async fn a_whole_file_comes_back_as_it_was() {
    let hub = Hub::start().await;
    let operator = Operator::of(&hub, "acme");
    let folder = tempfile::tempdir().unwrap();
    let demo = written(folder.path(), "demo.json", DEMO);
    assert_eq!(operator.json(&["flag", "import", "--dry-run", &demo]).await["added"], 17);
    assert_eq!(operator.json(&["flag", "list"]).await["flags"], json!([]), "nothing was written");
    assert_eq!(operator.json(&["flag", "import", &demo]).await["added"], 17);
    assert_eq!(operator.ok(&["flag", "export"]).await, DEMO, "byte for byte");
    let again = operator.json(&["flag", "import", &demo]).await;
    assert_eq!((&again["unchanged"], &again["batches"]), (&json!(17), &json!(0)));
    assert_eq!(
        operator.run(&["diff", &demo]).await.code,
        Some(0),
        "`diff` and `import` know these files too"
    );

    // Numbers, names and what stands beside the flags keep their spelling.
    let odd = r#"{
  "$evaluators": {"staff":{"ends_with" : [{"var":"email"}, "@acme.example"]}},
  "metadata": {"team":"ads","n":1.50},
  "flags": {
    "a/b c": {"variants":{"x":1.0,"y":2e1},"state":"ENABLED","defaultVariant":"x","targeting":{"if":[{"$ref":"staff"},"y"]}}
  }
}
"#;
    let file = written(folder.path(), "odd.json", odd);
    assert_eq!(operator.json(&["flag", "import", "--service", "cart", &file]).await["added"], 2);
    assert_eq!(operator.ok(&["flag", "export", "--service", "cart"]).await, odd);
    let told = evaluate(&operator, &["a/b c", "--service", "cart", "-c", "email=x@acme.example"]).await;
    assert_eq!((&told["value"], &told["metadata"]["team"]), (&json!(20.0), &json!("ads")));
    let view: Value =
        serde_json::from_str(&operator.ok(&["flag", "export", "--service", "cart", "--view"]).await).unwrap();
    assert_eq!(view["flags"].as_object().unwrap().len(), 17);
    assert_eq!(
        operator.json(&["flag", "list", "--service", "cart"]).await["flags"].as_array().unwrap().len(),
        17
    );
    assert_eq!(operator.json(&["flag", "list"]).await["flags"].as_array().unwrap().len(), 17);

    // A file can take the place of all that is there, and of nothing else.
    operator.ok(&["put", "tenant_config_other", "1"]).await;
    let small = written(
        folder.path(),
        "small.json",
        r#"{"flags":{"one":{"state":"ENABLED","variants":{"on":true}}}}"#,
    );
    let replaced = operator.json(&["flag", "import", "--replace", &small]).await;
    assert_eq!((&replaced["added"], &replaced["removed"]), (&json!(1), &json!(17)));
    assert_eq!(operator.ok(&["flag", "export", "--service", "cart"]).await, odd);
    operator.ok(&["get", "tenant_config_other"]).await;
    let out = folder.path().join("out.json").display().to_string();
    assert_eq!(operator.json(&["flag", "export", "-o", &out]).await["flags"], 1);
}

#[tokio::test]
async fn a_bad_definition_is_refused_and_one_that_is_stored_is_listed_as_such() {
    let hub = Hub::start().await;
    let operator = Operator::of(&hub, "acme");
    for (args, said) in [
        (&["flag", "create", "x", "--variants", "{"][..], "are no JSON object"),
        (
            &["flag", "create", "x", "--variants", r#"{"on": true, "off": 0}"#],
            "all variants must be of one type",
        ),
        (&["flag", "create", "x", "--variants", r#"{"a": "1", "b": "2"}"#], "--default"),
        (&["flag", "create", "", "--on"], "must not be empty"),
    ] {
        let ran = operator.run(args).await;
        assert!(ran.code == Some(2) && ran.err.contains(said), "{ran:?}");
    }
    operator.ok(&["flag", "create", "x", "--variants", r#"{"a": "1", "b": "2"}"#, "--default", "a"]).await;
    for (args, said) in [
        (&["flag", "target", "x", "--if", "{\"likes\": 1}", "--then", "a"][..], "`likes` is no operator"),
        (&["flag", "target", "x", "--if", "likes", "--then", "a"], "is no JSON"),
        (&["flag", "target", "x", "--if", "true", "--then", "a"], "is no rule"),
        (&["flag", "target", "x", "--if", "{\"var\": \"a\"}", "--then", "c"], "no variant `c`"),
        (&["flag", "target", "x", "--attribute", "a", "--then", "a"], "required"),
        (&["flag", "target", "x"], "required"),
        (&["flag", "set-percentage", "x", "101", "--on", "a", "--off", "b"], "is no percentage"),
        (&["flag", "set-percentage", "x", "5"], "--on"),
        (&["flag", "off", "x"], "--variant"),
    ] {
        let ran = operator.run(args).await;
        assert!(ran.code == Some(2) && ran.err.contains(said), "{args:?}: {ran:?}");
    }
    assert_eq!(operator.json(&["flag", "show", "x"]).await["version"], 1, "nothing was written");
    let bad = confhub_proto::wire::Content {
        value: "[]".into(),
        content_type: "application/json".to_owned(),
        secret: false,
    };
    let hub = hub.written_behind("acme", vec![("tenant_config_flag.bad", bad)]).await;
    let operator = Operator::of(&hub, "acme");
    assert!(operator.ok(&["flag", "list"]).await.contains("stored badly"));
    let ran = operator.run(&["flag", "export"]).await;
    assert!(ran.code == Some(1) && ran.out.contains("\"x\"") && ran.err.contains("flag `bad`"), "{ran:?}");
    let ran = operator.run(&["flag", "off", "bad"]).await;
    assert!(ran.code == Some(1) && ran.err.contains("is stored badly"), "{ran:?}");
    let told = evaluate(&operator, &["bad"]).await;
    assert_eq!(told["error"]["code"], "PARSE_ERROR");
}

#[tokio::test]
async fn a_file_that_takes_several_commits_is_good_after_each_of_them() {
    const FLAGS: usize = 1_100;
    let hub = Hub::start().await;
    let operator = Operator::of(&hub, "acme");
    let folder = tempfile::tempdir().unwrap();
    let flag =
        r#"{"state":"ENABLED","variants":{"on":true,"off":false},"targeting":{"if":[{"$ref":"gold"},"on"]}}"#;
    let flags: Vec<_> = (0..FLAGS).map(|n| format!("\"f{n}\": {flag}")).collect();
    let evaluators = r#""$evaluators": {"gold": {"==": [{"var": "plan"}, "gold"]}}"#;
    let file =
        written(folder.path(), "many.json", &format!("{{{evaluators}, \"flags\": {{{}}}}}", flags.join(",")));
    let imported = operator.json(&["flag", "import", &file]).await;
    assert_eq!((&imported["added"], &imported["batches"]), (&json!(FLAGS + 1), &json!(2)));
    // What they share goes last of all.
    let none = written(folder.path(), "none.json", r#"{"flags": {}}"#);
    let removed = operator.json(&["flag", "import", "--replace", &none]).await;
    assert_eq!((&removed["removed"], &removed["batches"]), (&json!(FLAGS + 1), &json!(2)));
    assert_eq!(operator.ok(&["flag", "export"]).await, "{\n  \"flags\": {}\n}\n");
}

#[tokio::test]
async fn flags_are_entries_that_every_command_takes() {
    let hub = Hub::start().await;
    let (acme, globex) = (Operator::of(&hub, "acme"), Operator::of(&hub, "globex"));
    let folder = tempfile::tempdir().unwrap();
    let demo = written(folder.path(), "demo.json", DEMO);
    acme.ok(&["flag", "import", &demo]).await;
    let all = folder.path().join("all.json").display().to_string();
    acme.ok(&["export", "-o", &all]).await;
    assert_eq!(globex.json(&["flag", "list"]).await["flags"], json!([]), "another tenant has none of it");
    globex.ok(&["import", &all]).await;
    assert_eq!(globex.ok(&["flag", "export"]).await, DEMO);
    // The key says what it is, where nobody says otherwise.
    let plain = r#"{"state":"ENABLED","variants":{"on":true}}"#;
    globex.ok(&["put", "tenant_config_flag.plain", plain]).await;
    let changes = format!(r#"{{"changes":[{{"put":{{"key":"tenant_config_flag.two","value":{plain}}}}}]}}"#);
    assert_eq!(globex.feed(&["apply", "-f", "-"], &changes).await.code, Some(0));
    let document = format!(r#"{{"services":{{"ad":{{"tenant_config_flag.three":{plain}}}}}}}"#);
    assert_eq!(globex.feed(&["import", "-"], &document).await.code, Some(0));
    assert_eq!(
        globex.json(&["flag", "list", "--service", "ad"]).await["flags"].as_array().unwrap().len(),
        19
    );
    assert_eq!(globex.json(&["flag", "show", "plain"]).await["state"], "ENABLED");
}

#[tokio::test]
async fn a_token_of_a_service_sees_and_changes_its_own_flags() {
    let hub = Hub::start().await;
    let operator = Operator::of(&hub, "acme");
    operator.ok(&["flag", "create", "x"]).await;
    operator.ok(&["flag", "create", "x", "--service", "ad"]).await;
    let cart = Operator::at(&hub.endpoint(), &hub.service_token("acme", "cart"));
    for refused in
        [&["flag", "on", "x"][..], &["flag", "create", "y"], &["flag", "create", "y", "--service", "ad"]]
    {
        assert_eq!(cart.run(refused).await.code, Some(5), "{refused:?}");
    }
    // Whatever it names, it sees its own view.
    assert_eq!(cart.run(&["flag", "on", "x", "--service", "ad"]).await.code, Some(3));
    cart.ok(&["flag", "create", "x", "--service", "cart", "--on"]).await;
    let ran = cart.run(&["flag", "show", "x"]).await;
    assert!(ran.code == Some(3) && ran.err.contains("of service `cart` alone"), "{ran:?}");
    cart.ok(&["flag", "off", "x", "--service", "cart"]).await;
    let services: Vec<_> = cart.json(&["flag", "list"]).await["flags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|flag| flag["service"].clone())
        .collect();
    assert_eq!(services, [Value::Null, json!("cart")]);
}
