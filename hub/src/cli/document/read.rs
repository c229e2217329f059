//! From bytes to a document: this is all that decides what a file means.

use super::error::DocumentError;
use super::json::{Node, Source};
use super::{Address, Document, Naming, content, flagd};
use confhub_proto::ServiceName;

/// Reads a file of either format.
pub(crate) fn read(file: &str, bytes: &[u8], naming: &Naming) -> Result<Document, DocumentError> {
    let root = Source::check(file, bytes)?.root();
    let members = root.members()?;
    let mut document = Document::new();
    if flagd::is_definitions(&members) {
        flagd::read(&root, None, &mut document)?;
        return Ok(document);
    }
    for (name, node) in members {
        match name.as_str() {
            "shared" => section(&node, None, false, naming, &mut document)?,
            "secrets" => section(&node, None, true, naming, &mut document)?,
            "services" => {
                for (service, node) in node.members()? {
                    let service = ServiceName::new(&service).map_err(|error| node.error(error))?;
                    section(&node, Some(&service), false, naming, &mut document)?;
                }
            }
            // Says where the file comes from, for people.
            "source" => {
                node.string()?;
            }
            _ => {
                return Err(node.error(
                    "is not known here: expected shared, services, secrets, source, or flags with flag definitions",
                ));
            }
        }
    }
    Ok(document)
}

fn section(
    node: &Node<'_>,
    service: Option<&ServiceName>,
    secrets: bool,
    naming: &Naming,
    document: &mut Document,
) -> Result<(), DocumentError> {
    for (name, node) in node.members()? {
        let address = Address { service: service.cloned(), key: naming.key(&name, &node)? };
        let item = content::item(&node, secrets, Some(&address.key))?;
        if document.insert(address.clone(), item).is_some() {
            return Err(node.error(format!("`{address}` is there twice")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Item;
    use super::*;
    use confhub_flags::{FLAG_TYPE, SET_KEY, SET_TYPE};
    use confhub_proto::{Content, Prefix};

    const SERVICES: &str = include_str!("../../../demo/otel-demo.services.json");
    const FLAGS: &str = include_str!("../../../demo/otel-demo.flagd.json");

    fn naming() -> Naming {
        let known = vec!["tenant_config_".to_owned(), "param_config_".to_owned()];
        Naming::offline(Some(Prefix::new("tenant_config_").unwrap())).with_known(known)
    }

    fn parse(text: &str) -> Result<Document, DocumentError> {
        read("f.json", text.as_bytes(), &naming())
    }

    fn get<'d>(document: &'d Document, service: Option<&str>, key: &str) -> &'d Content {
        let service = service.map(|name| ServiceName::new(name).unwrap());
        match &document[&Address { service, key: key.parse().unwrap() }] {
            Item::Content(content) => content,
            Item::Marker => panic!("{key} is a marker"),
        }
    }

    #[test]
    fn a_real_shop_is_understood() {
        let shop = parse(SERVICES).unwrap();
        let services: std::collections::BTreeSet<_> = shop.keys().filter_map(|a| a.service.clone()).collect();
        assert_eq!((shop.len(), services.len()), (62, 15));
        let broker = get(&shop, None, "tenant_config_kafka_addr");
        assert_eq!((&broker.value[..], &*broker.content_type), (&b"kafka:9092"[..], Content::TEXT));
        let threshold = get(&shop, Some("agent"), "tenant_config_vcr_match_threshold");
        assert_eq!((&threshold.value[..], &*threshold.content_type), (&b"0.85"[..], Content::JSON));
        assert!(get(&shop, None, "tenant_config_postgres_password").secret);
    }

    #[test]
    fn real_flag_definitions_are_kept_byte_for_byte() {
        let flags = parse(FLAGS).unwrap();
        assert_eq!(flags.len(), 17, "the flags, and what stands beside them");
        for (address, item) in &flags {
            let Item::Content(content) = item else { panic!("{address} is a marker") };
            let text = std::str::from_utf8(&content.value).unwrap();
            match address.key.as_str() {
                SET_KEY => {
                    assert_eq!(&*content.content_type, SET_TYPE);
                    assert_eq!(text, r#"{"$schema":"https://flagd.dev/schema/v0/flags.json"}"#);
                }
                _ => {
                    assert_eq!(&*content.content_type, FLAG_TYPE);
                    assert!(FLAGS.contains(text), "{address}");
                }
            }
        }
    }

    #[test]
    fn only_names_that_lack_a_prefix_get_one() {
        let document = parse(r#"{"shared": {"param_config_a": 1, "b": 2}}"#).unwrap();
        let keys: Vec<_> = document.keys().map(ToString::to_string).collect();
        assert_eq!(keys, ["param_config_a", "tenant_config_b"]);
        let none = Naming::offline(None).with_known(vec!["x_".to_owned()]);
        let error = read("f", br#"{"shared": {"b": 2}}"#, &none).unwrap_err().to_string();
        assert_eq!(
            error,
            "f:1:18: `shared.b`: the name has no prefix that the hub knows (x_): add one, or use --prefix"
        );
    }

    #[test]
    fn mistakes_are_named_where_they_are() {
        for (text, said) in [
            ("[]", "f.json:1:1: expected an object"),
            (r#"{"shared": []}"#, "f.json:1:12: `shared`: expected an object"),
            (r#"{"sharde": {}}"#, "`sharde`: is not known here"),
            (r#"{"shared": {"a b": 1}}"#, "`shared.a b`: key `tenant_config_a b` has ' '"),
            (r#"{"services": {"shared": {}}}"#, "service `shared` is reserved"),
            (r#"{"services": {"a/b": {}}}"#, "service `a/b` has '/'"),
            (r#"{"shared": {"a": 1, "tenant_config_a": 2}}"#, "`tenant_config_a` is there twice"),
            (r#"{"shared": {"a": 1}, "secrets": {"a": "x"}}"#, "`tenant_config_a` is there twice"),
            (r#"{"shared": {"a": {"$text": "x"}}}"#, "`shared.a`: has no $content_type"),
            (r#"{"shared": {"a": {"$content_type": "x"}}}"#, "has no value"),
            (r#"{"shared": {"a": {"$content_type": "é", "$text": ""}}}"#, "content type must be"),
            (r#"{"shared": {"a": {"$content_type": "x", "$base64": "?"}}}"#, "is no base64"),
            (r#"{"shared": {"a": {"$content_type": "x", "$text": "", "$json": 1}}}"#, "is a second value"),
            (r#"{"shared": {"a": {"$content_type": "x", "text": ""}}}"#, "does not belong beside"),
            (r#"{"secrets": {"a": {"$secret": false}}}"#, "says that it is no secret"),
            (r#"{"flags": {"f": true}}"#, "`flags.f`: expected the definition of a flag"),
            (r#"{"flags": {"": {}}}"#, "f.json:1:16: `flags.`: a flag's name must not be empty"),
            (r#"{"flags": []}"#, "`/flags`: is an array, which only flagd itself reads"),
            (r#"{"$evaluators": {}}"#, "it has no member `flags`"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        let large = format!(r#"{{"shared": {{"a": "{}"}}}}"#, "x".repeat(512 * 1024 + 1));
        assert!(parse(&large).unwrap_err().reason.contains("524289 bytes"));
    }
}
