//! A hub in this process, on ports of its own.

use super::{Caller, soon};
use confhub::app::{Addresses, App};
use confhub::auth::{DevClaims, DevIssuer, Role};
use confhub::clock::{Clock, system_clock};
use confhub::config::{AuditTo, Settings};
use confhub_proto::{ServiceName, TenantId};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A hub with its data folder. Dropping it stops it at once; the folder goes
/// with the last hub that uses it.
pub struct Hub {
    pub addresses: Addresses,
    pub folder: Arc<TempDir>,
    issuer: DevIssuer,
    clock: Clock,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl Hub {
    /// A hub on an empty folder, with the default settings.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A hub on an empty folder, with settings of the test's own.
    pub async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::start_on(folder, change).await
    }

    /// A hub on a folder that another one has left.
    pub async fn start_on(folder: Arc<TempDir>, change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_at(folder, system_clock(), change).await
    }

    /// A hub for which it is as late as `clock` says.
    pub async fn start_at(folder: Arc<TempDir>, clock: Clock, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Self::settings(folder.path());
        change(&mut settings);
        let app = App::start(settings, clock.clone()).await.unwrap();
        Self::run(app, folder, clock)
    }

    /// A hub on the stores of an AWS account.
    #[cfg(feature = "aws")]
    pub async fn start_on_aws(aws: &super::Aws, change: impl FnOnce(&mut Settings)) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let mut settings = Self::settings(folder.path());
        aws.configure(&mut settings);
        change(&mut settings);
        let account = confhub::aws::Account::open_as(&settings.aws, Some(aws.credentials())).await.unwrap();
        let clock = system_clock();
        let app = App::start_in(settings, clock.clone(), Some(account)).await.unwrap();
        Self::run(app, folder, clock)
    }

    fn run(app: App, folder: Arc<TempDir>, clock: Clock) -> Self {
        // A hub with an issuer of its own makes none; then this one's tokens are refused.
        let issuer = DevIssuer::open_or_create(folder.path()).unwrap();
        let addresses = app.addresses();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(async move {
            app.run(async move { drop(stopped.await) }).await.unwrap();
        });
        Self { addresses, folder, issuer, clock, stop: Some(stop), running }
    }

    /// The default settings, on `folder` and on free ports.
    pub fn settings(folder: &Path) -> Settings {
        let mut settings = Settings { data_dir: folder.to_owned(), ..Settings::default() };
        settings.audit.to = AuditTo::Off;
        settings.listen.set_port(0);
        settings.http.set_port(0);
        settings
    }

    /// Where clients connect.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addresses.grpc)
    }

    /// A token for every role of a tenant.
    pub fn token(&self, tenant: &str) -> String {
        self.token_of(tenant, None, &Role::ALL, Duration::from_secs(3_600))
    }

    /// A token of a service of a tenant.
    pub fn service_token(&self, tenant: &str, service: &str) -> String {
        self.token_of(tenant, Some(service), &Role::ALL, Duration::from_secs(3_600))
    }

    /// Any token.
    pub fn token_of(&self, tenant: &str, service: Option<&str>, roles: &[Role], ttl: Duration) -> String {
        mint(&self.issuer, (self.clock)(), tenant, service, roles, ttl)
    }

    /// Calls as everyone's operator of a tenant.
    pub async fn caller(&self, tenant: &str) -> Caller {
        Caller::connect(&self.endpoint(), &self.token(tenant)).await
    }

    /// Shuts down in order, and waits until it has.
    pub async fn stop(mut self) -> Arc<TempDir> {
        drop(self.stop.take());
        soon("the hub to stop", &mut self.running).await.unwrap();
        Arc::clone(&self.folder)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// Any token of a data folder's issuer.
pub(super) fn mint(
    issuer: &DevIssuer,
    now: SystemTime,
    tenant: &str,
    service: Option<&str>,
    roles: &[Role],
    ttl: Duration,
) -> String {
    let claims = DevClaims {
        tenant: TenantId::new(tenant).unwrap(),
        service: service.map(|service| ServiceName::new(service).unwrap()),
        roles: roles.to_vec(),
        subject: "tester".to_owned(),
        ttl,
    };
    issuer.mint(&claims, now).unwrap()
}
