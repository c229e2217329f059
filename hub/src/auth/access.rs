//! Who may call what: one table.
//!
//! A method that is not in the table is refused, so a new one is closed until
//! somebody has thought about it.

use super::Role;
use Access::{Needs, Open};
use Role::{Operator, Reader, Revoker, SecretReader, Writer};
use confhub_proto::flagd;

/// What a method asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing: no token is looked at.
    Open,
    /// A valid token with this role.
    Needs(Role),
}

/// Services that are open as a whole: a probe and a generic client have no token,
/// and neither learns anything about a tenant.
const OPEN_SERVICES: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// All other methods, by path.
const METHODS: [(&str, Access); 29] = [
    ("/confhub.v1.ConfigService/Subscribe", Needs(Reader)),
    ("/confhub.v1.ConfigService/GetSnapshot", Needs(Reader)),
    ("/confhub.v1.ConfigService/Get", Needs(Reader)),
    ("/confhub.v1.ConfigService/BatchGet", Needs(Reader)),
    ("/confhub.v1.ConfigService/Reveal", Needs(SecretReader)),
    ("/confhub.v1.AdminService/Put", Needs(Writer)),
    ("/confhub.v1.AdminService/Delete", Needs(Writer)),
    ("/confhub.v1.AdminService/Apply", Needs(Writer)),
    ("/confhub.v1.AdminService/Rollback", Needs(Writer)),
    ("/confhub.v1.AdminService/History", Needs(Reader)),
    ("/confhub.v1.AdminService/List", Needs(Reader)),
    ("/confhub.v1.AdminService/Status", Needs(Reader)),
    ("/confhub.v1.AdminService/Reconcile", Needs(Operator)),
    ("/confhub.v1.FleetService/Report", Needs(Reader)),
    ("/confhub.v1.FleetService/ListInstances", Needs(Reader)),
    ("/confhub.v1.FleetService/WaitApplied", Needs(Reader)),
    ("/confhub.v1.RolloutService/StartRollout", Needs(Writer)),
    ("/confhub.v1.RolloutService/SteerRollout", Needs(Writer)),
    ("/confhub.v1.RolloutService/CheckRollout", Needs(Writer)),
    ("/confhub.v1.RolloutService/ListRollouts", Needs(Reader)),
    ("/confhub.v1.AccessService/Revoke", Needs(Revoker)),
    ("/confhub.v1.AccessService/Restore", Needs(Revoker)),
    ("/confhub.v1.AccessService/ListRevocations", Needs(Revoker)),
    ("/confhub.v1.AccessService/SetTenant", Needs(Operator)),
    ("/confhub.v1.AccessService/ForgetTenant", Needs(Operator)),
    ("/confhub.v1.AccessService/ListTenants", Needs(Operator)),
    (flagd::SYNC_FLAGS_PATH, Needs(Reader)),
    (flagd::FETCH_ALL_FLAGS_PATH, Needs(Reader)),
    (flagd::GET_METADATA_PATH, Needs(Reader)),
];

impl Access {
    /// What the method at `path` asks for. `None`: there is no such method.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        if let Some((_, access)) = METHODS.iter().find(|(method, _)| *method == path) {
            return Some(*access);
        }
        let (service, _) = path.strip_prefix('/')?.split_once('/')?;
        OPEN_SERVICES.contains(&service).then_some(Open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[test]
    fn every_method_of_the_wire_is_in_the_table_and_nothing_else() {
        let sets = [confhub_proto::wire::FILE_DESCRIPTOR_SET, flagd::FILE_DESCRIPTOR_SET];
        let files = sets.map(|set| prost_types::FileDescriptorSet::decode(set).unwrap().file);
        let mut wire = Vec::new();
        for file in files.iter().flatten().filter(|file| !file.package().starts_with("google.")) {
            for service in &file.service {
                for method in &service.method {
                    wire.push(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
                }
            }
        }
        let mut table: Vec<_> = METHODS.iter().map(|(path, _)| (*path).to_owned()).collect();
        wire.sort();
        table.sort();
        assert_eq!(wire, table);
    }

    #[test]
    fn the_readme_has_the_same_table() {
        let readme = include_str!("../../../README.md");
        let table = readme.split("## Who may do what").nth(1).unwrap().split("## ").next().unwrap();
        let mut told = Vec::new();
        for row in table.lines().filter(|line| line.starts_with("| `")) {
            let (role, methods) = row[1..].split_once('|').unwrap();
            let role = Role::ALL.into_iter().find(|known| role.contains(&format!("`{known}`"))).unwrap();
            for method in methods.split('`').skip(1).step_by(2) {
                told.push((method, Needs(role)));
            }
        }
        let mut table = METHODS.map(|(path, access)| (path.rsplit('/').next().unwrap(), access));
        let name = |(method, _): &(&str, Access)| (*method).to_owned();
        told.sort_by_key(name);
        table.sort_by_key(name);
        assert_eq!(told, table);
    }

    #[test]
    fn what_is_not_in_the_table_is_closed() {
        assert_eq!(Access::of("/grpc.health.v1.Health/Check"), Some(Open));
        assert_eq!(Access::of("/confhub.v1.ConfigService/Reveal"), Some(Needs(SecretReader)));
        for path in [
            "",
            "/",
            "*",
            "/confhub.v1.ConfigService/Nothing",
            "/confhub.v1.ConfigService/Get/",
            "//confhub.v1.ConfigService/Get",
            "/grpc.health.v1.HealthX/Check",
            "/grpc.health.v1.Health",
        ] {
            assert_eq!(Access::of(path), None, "{path}");
        }
    }
}
