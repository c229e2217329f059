//! The hub of the demo, in this process, and tokens for it.

use crate::app::App;
use crate::auth::{DevClaims, DevIssuer, Role};
use crate::cli::args::{HubArgs, Token, TrustArgs};
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::clock::system_clock;
use crate::config::{AuditSettings, AuditTo, Settings};
use confhub_proto::TenantId;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long a call may take before the demo says that something is wrong.
pub(in crate::cli) const PATIENCE: Duration = Duration::from_secs(10);

/// How long its tokens are valid.
const TOKEN_LIFE: Duration = Duration::from_secs(12 * 3_600);

/// A running hub.
pub(in crate::cli) struct Stage {
    /// Removed when dropped.
    temporary: Option<tempfile::TempDir>,
    folder: PathBuf,
    issuer: DevIssuer,
    grpc: SocketAddr,
    hub: Running,
}

struct Running {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), CliError>>,
}

impl Stage {
    /// Starts a hub on free ports of this machine.
    pub(in crate::cli) async fn open(data_dir: Option<&Path>) -> Result<Self, CliError> {
        let (folder, temporary) = match data_dir {
            Some(folder) => (folder.to_owned(), None),
            None => {
                let folder = tempfile::Builder::new().prefix("confhub-demo-").tempdir();
                let folder = folder.map_err(CliError::file("write", std::env::temp_dir()))?;
                (folder.path().to_owned(), Some(folder))
            }
        };
        let (grpc, hub) = start(&folder, ([127, 0, 0, 1], 0).into()).await?;
        let issuer = DevIssuer::open_or_create(&folder)?;
        Ok(Self { temporary, folder: std::path::absolute(&folder).unwrap_or(folder), issuer, grpc, hub })
    }

    /// Stops the hub and starts it again, at the same address.
    pub(in crate::cli) async fn restart(&mut self) -> Result<(), CliError> {
        // The old hub has to be gone: its port and its store are needed.
        let (stop, _) = oneshot::channel();
        let nothing = Running { stop, ended: tokio::spawn(async { Ok(()) }) };
        std::mem::replace(&mut self.hub, nothing).end().await?;
        (self.grpc, self.hub) = start(&self.folder, self.grpc).await?;
        Ok(())
    }

    /// Stops the hub, and removes its folder if that was a temporary one.
    pub(in crate::cli) async fn close(self) -> Result<(), CliError> {
        self.hub.end().await?;
        match self.temporary {
            Some(folder) => folder.close().map_err(CliError::file("remove", self.folder)),
            None => Ok(()),
        }
    }

    /// Where the hub is.
    pub(in crate::cli) fn endpoint(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// Where its data is.
    pub(in crate::cli) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A token.
    pub(in crate::cli) fn token(
        &self,
        tenant: &str,
        subject: &str,
        roles: &[Role],
    ) -> Result<String, CliError> {
        let claims = DevClaims {
            tenant: TenantId::new(tenant)?,
            service: None,
            roles: roles.to_vec(),
            subject: subject.to_owned(),
            ttl: TOKEN_LIFE,
        };
        Ok(self.issuer.mint(&claims, SystemTime::now())?)
    }

    /// What a command would be given to call this hub with `token`.
    pub(in crate::cli) fn args(&self, token: String) -> HubArgs {
        HubArgs {
            endpoint: self.endpoint(),
            allow_plaintext: false,
            trust: TrustArgs::default(),
            client_cert: None,
            client_key: None,
            token: Some(Token(token)),
            token_file: None,
            timeout: PATIENCE,
            output: Output::Json,
        }
    }
}

impl Running {
    async fn end(self) -> Result<(), CliError> {
        // A hub that has ended by itself says why below.
        let _ = self.stop.send(());
        self.ended.await.map_err(|error| CliError::Failed(format!("the hub has ended: {error}")))?
    }
}

async fn start(folder: &Path, listen: SocketAddr) -> Result<(SocketAddr, Running), CliError> {
    let settings = Settings {
        data_dir: folder.to_owned(),
        listen,
        http: ([127, 0, 0, 1], 0).into(),
        // Standard output tells the story.
        audit: AuditSettings { to: AuditTo::Off, ..AuditSettings::default() },
        ..Default::default()
    };
    let app = App::start(settings, system_clock()).await?;
    let grpc = app.addresses().grpc;
    let (stop, told) = oneshot::channel();
    let ended = tokio::spawn(async move {
        let told = async {
            // Told, or forgotten: either way the demo is over.
            let _ = told.await;
        };
        Ok(app.run(told).await?)
    });
    Ok((grpc, Running { stop, ended }))
}
