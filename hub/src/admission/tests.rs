//! Who is let in, by what the records say.

use super::testing::on;
use super::*;
use crate::auth::{Identity, Roles};
use confhub_proto::Key;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NOW: u64 = 1_800_000_000;

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(second)
}

fn identity(name: &str, subject: &str, id: Option<&str>, issued: Option<u64>) -> Identity {
    Identity {
        tenant: tenant(name),
        service: None,
        subject: subject.into(),
        token_id: id.map(Into::into),
        issued: issued.map(at),
        roles: Roles::default(),
        expires: at(NOW + 3_600),
    }
}

struct Scene {
    admission: Admission,
    book: Book,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn new(admit_unknown: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let operators = Some(tenant("operators"));
        let admission = on(folder.path(), Policy { admit_unknown, operators });
        assert_eq!(admission.check(&identity("acme", "u", None, None)), Err(Refused::NotReady));
        tokio::spawn(admission.clone().keep());
        assert!(admission.ready(Duration::from_secs(60)).await);
        Self { book: Book::new(admission.clone()), admission, _folder: folder }
    }

    fn check(&self, name: &str, subject: &str, id: Option<&str>, issued: u64) -> Result<(), Refused> {
        self.admission.check(&identity(name, subject, id, Some(issued)))
    }

    async fn revoke(&self, scope: Scope, which: Which, before: Option<u64>) -> String {
        let revocation = Revocation::new(which, before, "stolen".to_owned(), "sec");
        self.book.revoke(&scope, revocation).await.unwrap().0
    }

    async fn set(&self, name: &str, state: TenantState) {
        let record = TenantRecord::new(state, String::new(), "ops");
        self.book.set_tenant(&tenant(name), &record).await.unwrap();
    }
}

#[tokio::test]
async fn a_tenant_is_served_unless_the_records_or_the_policy_say_no() {
    for admit_unknown in [true, false] {
        let scene = Scene::new(admit_unknown).await;
        let unknown = if admit_unknown { Ok(()) } else { Err(Refused::Unknown) };
        assert_eq!(scene.check("acme", "u", None, NOW), unknown);
        scene.set("acme", TenantState::Active).await;
        assert_eq!(scene.check("acme", "u", None, NOW), Ok(()));
        scene.set("acme", TenantState::Suspended).await;
        assert_eq!(scene.check("acme", "u", None, NOW), Err(Refused::Suspended));
        assert_eq!(scene.check("globex", "u", None, NOW), unknown);
        // The operators could not come back to change it.
        scene.set("operators", TenantState::Suspended).await;
        assert_eq!(scene.check("operators", "u", None, NOW), Ok(()));
        scene.book.forget_tenant(&tenant("acme"), "ops").await.unwrap();
        assert_eq!(scene.check("acme", "u", None, NOW), unknown);
        let twice = scene.book.forget_tenant(&tenant("acme"), "ops").await;
        assert!(matches!(twice, Err(AdmissionError::NoTenant(_))));
    }
}

#[tokio::test]
async fn a_revocation_concerns_those_it_names_and_nobody_else() {
    let scene = Scene::new(true).await;
    let acme = || Scope::Tenant(tenant("acme"));
    let id = scene.revoke(acme(), Which::Subject("eve".to_owned()), None).await;
    assert_eq!(scene.check("acme", "eve", None, NOW), Err(Refused::Revoked));
    assert_eq!(scene.check("acme", "bob", None, NOW), Ok(()));
    assert_eq!(scene.check("globex", "eve", None, NOW), Ok(()), "another tenant's eve is another eve");
    scene.revoke(acme(), Which::Token("t1".to_owned()), None).await;
    assert_eq!(scene.check("acme", "bob", Some("t1"), NOW), Err(Refused::Revoked));
    assert_eq!(scene.check("acme", "bob", Some("t2"), NOW), Ok(()));
    assert_eq!(scene.check("globex", "bob", Some("t1"), NOW), Ok(()));
    scene.revoke(acme(), Which::All, Some(NOW)).await;
    assert_eq!(scene.check("acme", "bob", None, NOW - 1), Err(Refused::Revoked));
    assert_eq!(scene.check("acme", "bob", None, NOW), Ok(()));
    let undated = identity("acme", "bob", None, None);
    assert_eq!(scene.admission.check(&undated), Err(Refused::Revoked), "it may have been issued before");
    scene.revoke(Scope::AllTenants, Which::All, Some(NOW - 10)).await;
    assert_eq!(scene.check("globex", "bob", None, NOW - 11), Err(Refused::Revoked));
    assert_eq!(scene.check("globex", "bob", None, NOW - 10), Ok(()));
    scene.book.restore(&acme(), &id, "sec").await.unwrap();
    assert_eq!(scene.check("acme", "eve", None, NOW), Ok(()));
    let again = scene.book.restore(&acme(), &id, "sec").await;
    assert!(matches!(again, Err(AdmissionError::NoRevocation(_))));
    assert_eq!(scene.book.revocations(&acme()).len(), 2);
    assert_eq!(scene.book.all_revocations().len(), 3);
}

#[tokio::test]
async fn of_two_moments_the_later_counts_and_of_all_and_a_moment_all() {
    let scene = Scene::new(true).await;
    let acme = || Scope::Tenant(tenant("acme"));
    for (before, then) in [(Some(NOW), NOW), (Some(NOW - 50), NOW), (Some(NOW + 50), NOW + 50)] {
        scene.revoke(acme(), Which::All, before).await;
        assert_eq!(scene.check("acme", "u", None, then - 1), Err(Refused::Revoked), "{before:?}");
        assert_eq!(scene.check("acme", "u", None, then), Ok(()), "{before:?}");
    }
    scene.revoke(acme(), Which::All, None).await;
    scene.revoke(acme(), Which::All, Some(NOW)).await;
    assert_eq!(scene.check("acme", "u", None, NOW + 1_000), Err(Refused::Revoked));
}

#[tokio::test]
async fn an_id_that_a_caller_made_up_reaches_nothing() {
    let scene = Scene::new(true).await;
    let globex = scene.revoke(Scope::Tenant(tenant("globex")), Which::All, None).await;
    let acme = Scope::Tenant(tenant("acme"));
    let foreign = format!("{globex}_globex");
    for id in
        [globex.as_str(), &foreign, "", "../x", "tenant_globex", &"a".repeat(33), "A".repeat(32).as_str()]
    {
        let lifted = scene.book.restore(&acme, id, "sec").await;
        assert!(matches!(lifted, Err(AdmissionError::NoRevocation(_))), "{id}");
    }
    assert_eq!(scene.check("globex", "u", None, NOW), Err(Refused::Revoked));
}

#[test]
fn a_key_names_one_place_and_a_place_one_key() {
    let id = Revocation::id(&Scope::AllTenants, &Which::All);
    for tenant in ["a", "x_y", "a.b-c", "tenant_x", "revoked_y"].map(tenant) {
        let scope = Scope::Tenant(tenant.clone());
        for place in
            [record::Place::Tenant(tenant.clone()), record::Place::Revocation(scope.clone(), id.clone())]
        {
            let key = place.key().unwrap();
            assert_eq!(record::Place::of(&key), Some(place.clone()));
            assert_eq!(place.scope(), scope);
        }
    }
    for key in ["access_", "access_tenant_", "access_revoked_", "access_revoked_zz_a", "tenant_config_x"] {
        assert_eq!(record::Place::of(&Key::new(key).unwrap()), None, "{key}");
    }
    // What is next to each other in the hash is kept apart.
    let ids = [
        Revocation::id(&Scope::Tenant(tenant("ab")), &Which::Subject("c".to_owned())),
        Revocation::id(&Scope::Tenant(tenant("a")), &Which::Subject("bc".to_owned())),
        Revocation::id(&Scope::Tenant(tenant("a")), &Which::Token("bc".to_owned())),
        Revocation::id(&Scope::AllTenants, &Which::Subject("abc".to_owned())),
    ];
    assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), ids.len());
}

#[tokio::test]
async fn a_record_that_cannot_be_read_lets_nobody_in_on_a_guess() {
    use crate::backend::{Action, Change};
    use crate::source::Address;
    use confhub_proto::Content;
    let scene = Scene::new(true).await;
    let write = async |key: &str, value: &str| {
        let content = Content::new(value.to_owned().into(), "application/json", false, 1_000).unwrap();
        let address = Address { service: None, key: Key::new(key).unwrap() };
        let change = Change { address, action: Action::Put(content), expected: None };
        let key = change.address.key.clone();
        let versions = scene.admission.backend().apply(&hub_tenant(), "hand", vec![change]).await.unwrap();
        scene.admission.see(&key, versions.first().copied(), Duration::from_secs(60)).await;
    };
    write("access_tenant_acme", "{\"state\": \"actve\"}").await;
    assert_eq!(scene.check("acme", "u", None, NOW), Err(Refused::Suspended));
    write("access_tenant_acme", "{\"state\": \"active\"}").await;
    assert_eq!(scene.check("acme", "u", None, NOW), Ok(()));
    let id = scene.revoke(Scope::Tenant(tenant("acme")), Which::All, None).await;
    write(&format!("access_revoked_{id}_acme"), "nonsense").await;
    assert_eq!(scene.check("acme", "u", None, NOW), Err(Refused::Revoked), "what was known stays");
    write("access_revoked_0123_acme", "{}").await;
    assert_eq!(scene.check("globex", "u", None, NOW), Ok(()));
}
