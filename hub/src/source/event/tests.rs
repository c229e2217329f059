use super::*;
use confhub_proto::{Key, ServiceName};
use proptest::prelude::*;
use serde_json::json;

fn read(body: &str) -> Result<Parsed, Malformed> {
    parse(body, &Places { root: "confhub".to_owned() })
}

fn hint(tenant: &str, places: &[(&str, &str)]) -> Hint {
    let address = |(service, key): &(&str, &str)| Address {
        service: (!service.is_empty()).then(|| ServiceName::new(service).unwrap()),
        key: Key::new(key).unwrap(),
    };
    Hint { tenant: TenantId::new(tenant).unwrap(), addresses: places.iter().map(address).collect() }
}

fn one(tenant: &str, service: &str, key: &str) -> Parsed {
    Parsed { hints: vec![hint(tenant, &[(service, key)])], ignored: 0 }
}

fn ignored(count: usize) -> Parsed {
    Parsed { hints: Vec::new(), ignored: count }
}

fn bridge(source: &str, kind: &str, detail: &Value) -> Value {
    json!({"version": "0", "id": "1", "account": "123456789012", "time": "2026-01-01T00:00:00Z",
        "region": "eu-central-1", "resources": [], "source": source, "detail-type": kind, "detail": detail})
}

fn parameter(name: &str) -> Value {
    let detail = json!({"operation": "Update", "name": name, "type": "String", "description": ""});
    bridge("aws.ssm", "Parameter Store Change", &detail)
}

fn row(pk: &str, sk: &str) -> Value {
    json!({"eventID": "1", "eventName": "MODIFY", "eventSource": "aws:dynamodb", "dynamodb": {
        "Keys": {"pk": {"S": pk}, "sk": {"S": sk}}, "NewImage": {"value": {"B": "c2VjcmV0"}}}})
}

fn secret_call(name: &str, request: &Value) -> Value {
    let detail = json!({"eventSource": "secretsmanager.amazonaws.com", "eventName": name, "requestParameters": request});
    bridge("aws.secretsmanager", "AWS API Call via CloudTrail", &detail)
}

#[test]
fn every_kind_of_event_is_read_plain_and_in_an_envelope() {
    let secret = "/confhub/acme/cart/secret_config_db";
    let arn = format!("arn:aws:secretsmanager:eu-central-1:123456789012:secret:{secret}");
    let of_secret = one("acme", "cart", "secret_config_db");
    let cases = [
        (parameter("/confhub/acme/shared/param_config_x"), one("acme", "", "param_config_x")),
        (row("TENANT#acme", "CONFIG#tenant_config_x"), one("acme", "", "tenant_config_x")),
        (row("TENANT#acme|SERVICE#cart", "CONFIG#tenant_config_x"), one("acme", "cart", "tenant_config_x")),
        (
            bridge("any.name", "of any type", &row("TENANT#acme", "CONFIG#tenant_config_x")),
            one("acme", "", "tenant_config_x"),
        ),
        (secret_call("PutSecretValue", &json!({"secretId": secret})), of_secret.clone()),
        (secret_call("CreateSecret", &json!({"name": secret})), of_secret.clone()),
        (secret_call("UpdateSecret", &json!({"secretId": arn})), of_secret.clone()),
        (secret_call("DeleteSecret", &json!({"secretId": format!("{arn}-AbC123")})), of_secret.clone()),
        (bridge("aws.secretsmanager", "Secret Label Updated", &json!({"name": secret})), of_secret),
    ];
    for (event, expected) in cases {
        assert_eq!(read(&event.to_string()), Ok(expected.clone()), "{event}");
        let envelope = json!({"Type": "Notification", "Message": event.to_string()}).to_string();
        assert_eq!(read(&envelope), Ok(expected), "{event}");
        let twice = json!({"Type": "Notification", "Message": envelope}).to_string();
        assert!(read(&twice).is_err(), "{event}");
    }
}

#[test]
fn records_in_an_array_are_one_hint_a_tenant() {
    let rows = json!([
        row("TENANT#acme", "CONFIG#tenant_config_b"),
        row("TENANT#zeta", "CONFIG#tenant_config_a"),
        row("TENANT#acme", "HISTORY#tenant_config_b#1"),
        row("TENANT#acme", "CONFIG#tenant_config_b"),
        row("TENANT#acme", "CONFIG#tenant_config_a"),
    ]);
    let acme = hint("acme", &[("", "tenant_config_a"), ("", "tenant_config_b")]);
    let hints = vec![acme, hint("zeta", &[("", "tenant_config_a")])];
    assert_eq!(read(&rows.to_string()), Ok(Parsed { hints, ignored: 1 }));
    assert_eq!(read("[]"), Ok(ignored(0)));
}

#[test]
fn what_says_nothing_about_an_entry_is_ignored() {
    let failed = json!({"eventSource": "secretsmanager.amazonaws.com", "eventName": "PutSecretValue",
        "errorCode": "AccessDenied", "requestParameters": null});
    for event in [
        row("TENANT#acme", "HISTORY#tenant_config_x#1"),
        row("APPLY#1", "CONFIG#tenant_config_x"),
        row("TENANT#acme", "SERVICE#cart"),
        row("TENANT#a b", "CONFIG#tenant_config_x"),
        row("TENANT#acme", "CONFIG#tenant config"),
        parameter("/other/acme/shared/param_config_x"),
        parameter("flat"),
        parameter("/confhub/acme/shared/a/b"),
        parameter("/confhub/acme/shared/ä"),
        bridge("aws.s3", "Object Created", &json!({"bucket": {}})),
        bridge("aws.ssm", "Parameter Store Policy Action", &json!({})),
        bridge("aws.ec2", "AWS API Call via CloudTrail", &json!({"eventSource": "ec2.amazonaws.com"})),
        bridge("aws.secretsmanager", "AWS API Call via CloudTrail", &failed),
        secret_call("GetSecretValue", &json!({"secretId": "/confhub/acme/shared/secret_config_x"})),
        secret_call("DescribeSecret", &json!({"secretId": "/confhub/acme/shared/secret_config_x"})),
        secret_call("PutSecretValue", &json!({"secretId": "arn:aws:secretsmanager:x"})),
    ] {
        assert_eq!(read(&event.to_string()), Ok(ignored(1)), "{event}");
    }
}

#[test]
fn what_is_malformed_is_told_without_repeating_it() {
    let long = "\u{7}secret".repeat(100);
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let wide = Value::Array(vec![row("TENANT#a", "CONFIG#k"); RECORDS + 1]).to_string();
    let large = format!("{{\"detail\": \"{}\"}}", "x".repeat(BODY_BYTES));
    let mut lacking = row("TENANT#acme", "CONFIG#k");
    lacking["dynamodb"]["Keys"]["pk"] = json!({"N": "1"});
    let cases = [
        ("", "not JSON"),
        ("hello secret", "not JSON"),
        ("{\"Type\": \"Notification\", \"Message\": \"no JSON\"}", "not JSON"),
        ("{\"Type\": \"Notification\"}", "SNS envelope has no `Message`"),
        (&json!({"Type": long}).to_string(), "…`; expected is `Notification`"),
        (&deep, "recursion limit"),
        (&wide, "1001 records"),
        (&large, "at most 262144"),
        ("null", "is null, none of the known events"),
        ("7", "a number, none"),
        ("{}", "an object, none"),
        ("[[]]", "an array, none"),
        ("{\"source\": \"aws.ssm\"}", "has no `detail`"),
        ("{\"detail\": {}}", "has no `source`"),
        (
            "{\"detail\": 1, \"source\": \"a\", \"detail-type\": \"b\"}",
            "`detail` of the EventBridge event is a number",
        ),
        (&bridge("aws.ssm", "Parameter Store Change", &json!({})).to_string(), "has no `name`"),
        (&bridge("aws.ssm", "Parameter Store Change", &json!({"name": 7})).to_string(), "is a number"),
        (&secret_call("PutSecretValue", &json!({})).to_string(), "CloudTrail event has no `name`"),
        (&secret_call("PutSecretValue", &Value::Null).to_string(), "`requestParameters`"),
        ("{\"dynamodb\": {}}", "stream record has no `Keys`"),
        ("{\"dynamodb\": []}", "`dynamodb` of the stream record is an array"),
        (&lacking.to_string(), "stream record has no `S`"),
    ];
    for (body, expected) in cases {
        let error = read(body).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\n{expected}");
        assert!(error.len() < 400 && !error.contains('\u{7}'), "{error}");
        assert!(!error.contains("hello"), "{error}");
    }
}

#[test]
fn names_outside_the_alphabet_or_of_another_form_are_no_place() {
    for pk in [
        "TENANT#acme#TENANT#globex",
        "TENANT#../globex",
        "TENANT#acme/globex",
        "TENANT#acme|globex",
        "TENANT#acme|SERVICE#cart|SERVICE#order",
        "TENANT#acme|SERVICE#../order",
        "TENANT#acme|SERVICE#shared",
        "TENANT#\u{430}cme",
        "TENANT#acme\u{0}",
        "TENANT#acme ",
        "TENANT#",
        "tenant#acme",
        " TENANT#acme",
    ] {
        assert_eq!(read(&row(pk, "CONFIG#tenant_config_x").to_string()), Ok(ignored(1)), "{pk}");
    }
    for sk in ["CONFIG#../x", "CONFIG#a#b", "CONFIG#", "config#a", "CONFIG#a|SERVICE#order", "CONFIG#a\u{0}"]
    {
        assert_eq!(read(&row("TENANT#acme", sk).to_string()), Ok(ignored(1)), "{sk}");
    }
    for name in [
        "/confhub/acme/../globex/shared/param_config_x",
        "/confhub/../confhub/globex/shared/param_config_x",
        "/confhub/acme/shared/../param_config_x",
        "/confhub/acme/cart|SERVICE#order/param_config_x",
        "/confhub//globex/shared/param_config_x",
        "//confhub/globex/shared/param_config_x",
        "/confhub/globex\u{0}/shared/param_config_x",
        "/confhub/globex/shared/param_config_x/",
        "/CONFHUB/globex/shared/param_config_x",
    ] {
        assert_eq!(read(&parameter(name).to_string()), Ok(ignored(1)), "{name}");
        let secret = secret_call("PutSecretValue", &json!({"secretId": name}));
        assert_eq!(read(&secret.to_string()), Ok(ignored(1)), "{name}");
    }
}

/// What a forger would like to be believed stands in every place that is not a name.
#[test]
fn nothing_but_names_is_taken_from_a_forged_body() {
    let forged = |value: &str| {
        let mut forged = row("TENANT#acme", "CONFIG#tenant_config_x");
        forged["tenant"] = json!("globex");
        forged["dynamodb"]["NewImage"] =
            json!({"pk": {"S": "TENANT#globex"}, "value": {"B": value}, "version": {"N": "99"}});
        forged["dynamodb"]["OldImage"] = json!({"pk": {"S": "TENANT#globex"}});
        forged["eventName"] = json!("REMOVE");
        read(&forged.to_string())
    };
    assert_eq!(forged("one"), Ok(one("acme", "", "tenant_config_x")));
    assert_eq!(forged("one"), forged("another"));
    let mut forged = parameter("/confhub/acme/shared/param_config_x");
    forged["detail"]["value"] = json!("forged");
    forged["detail"]["tenant"] = json!("globex");
    forged["account"] = json!("999999999999");
    forged["resources"] = json!(["arn:aws:ssm:r:1:parameter/confhub/globex/shared/param_config_x"]);
    assert_eq!(read(&forged.to_string()), Ok(one("acme", "", "param_config_x")));
    // The hub's own records are read like any: a read of the truth is all that is asked for.
    let own = row(&format!("TENANT#{}", crate::auth::HUB_TENANT), "CONFIG#tenant_config_x");
    assert_eq!(read(&own.to_string()), Ok(one(crate::auth::HUB_TENANT, "", "tenant_config_x")));
}

/// JSON that is made of what the parser looks for.
fn likely() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "Notification",
        "aws.ssm",
        "aws.secretsmanager",
        "Parameter Store Change",
        "Secret Label Updated",
        "AWS API Call via CloudTrail",
        "secretsmanager.amazonaws.com",
        "PutSecretValue",
        "TENANT#acme",
        "TENANT#|SERVICE#",
        "CONFIG#k",
        "/confhub/acme/shared/k",
        "arn:aws:secretsmanager:r:a:secret:ö-AbC12ß",
        "{\"dynamodb\":{}}",
    ]);
    let leaf = prop_oneof![
        words.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(Value::Null),
    ];
    let fields = prop::sample::select(vec![
        "Type",
        "Message",
        "source",
        "detail-type",
        "detail",
        "dynamodb",
        "Keys",
        "pk",
        "sk",
        "S",
        "name",
        "secretId",
        "requestParameters",
        "eventSource",
        "eventName",
        "errorCode",
    ]);
    leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(fields.clone().prop_map(str::to_owned), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(body in any::<String>()) {
        let _ = read(&body);
    }

    #[test]
    fn no_json_makes_it_panic_and_no_error_is_long(value in likely()) {
        if let Err(error) = read(&value.to_string()) {
            prop_assert!(error.to_string().len() < 1_000);
        }
    }

    #[test]
    fn no_cut_or_changed_event_makes_it_panic(at in 0_usize..400, with in any::<char>()) {
        for event in [
            parameter("/confhub/acme/shared/k"),
            row("TENANT#acme|SERVICE#cart", "CONFIG#k"),
            secret_call("PutSecretValue", &json!({"secretId": "arn:aws:secretsmanager:r:a:secret:/confhub/a/shared/k-AbC123"})),
        ] {
            let mut text: Vec<char> = event.to_string().chars().collect();
            let at = at % text.len();
            text[at] = with;
            let _ = read(&text.iter().collect::<String>());
            text.truncate(at);
            let _ = read(&text.iter().collect::<String>());
        }
    }

    #[test]
    fn what_is_hinted_is_what_was_written(tenant in "[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", key in "[a-z][a-z_.-]{0,40}") {
        let read_back = read(&parameter(&format!("/confhub/{tenant}/cart/{key}")).to_string());
        prop_assert_eq!(read_back, Ok(one(&tenant, "cart", &key)));
        let read_back = read(&row(&format!("TENANT#{tenant}"), &format!("CONFIG#{key}")).to_string());
        prop_assert_eq!(read_back, Ok(one(&tenant, "", &key)));
    }
}
