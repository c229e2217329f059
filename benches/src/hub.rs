//! A hub to measure: the real one, in a process of its own, on an empty folder.

use crate::server::{self, Server};
use crate::{Result, input};
use bytes::Bytes;
use confhub::app::App;
use confhub::auth::{DevClaims, DevIssuer, Role};
use confhub::backend;
use confhub::clock::system_clock;
use confhub::config::{self, AuditTo, ServeArgs, Settings};
use confhub_proto::{TenantId, limits, wire};
use serde::Deserialize;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use wire::admin_service_client::AdminServiceClient;

/// How a hub is started.
#[derive(Debug, Clone)]
pub enum Program {
    /// This program again: `hub-server`, which calls [`serve`].
    Itself {
        /// Everything on one thread, without tokio's work stealing.
        current_thread: bool,
    },
    /// A `confhub` binary: `serve`.
    Binary(PathBuf),
    /// This program again, run by another program.
    Under {
        /// The other program's name and its options.
        wrapper: Vec<OsString>,
        /// Worker threads of the hub's runtime; `None`: everything on one thread.
        workers: Option<usize>,
    },
}

/// How many calls, and streams that do not last, a tenant may make in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallPace {
    /// As many as by default.
    Default,
    /// As many as the hub can bear: to measure what a call costs, and not its wait.
    Lifted,
}

/// The settings, as hubs take them from their environment.
const PACES: [&str; 2] = ["CONFHUB_LIMITS_CALLS_PER_SECOND", "CONFHUB_LIMITS_OPENS_PER_SECOND"];

/// A hub in a process of its own.
pub struct Hub {
    /// The process.
    pub server: Server,
    /// Its gRPC port.
    pub address: SocketAddr,
    /// Its HTTP port, which has the metrics.
    pub http: SocketAddr,
    run: Run,
}

/// How a hub is started, and started again.
struct Run {
    program: Program,
    settings: Vec<(&'static str, String)>,
    folder: TempDir,
}

#[derive(Deserialize)]
struct Ready {
    grpc: SocketAddr,
    http: SocketAddr,
}

impl Hub {
    /// Starts a hub on a free port and waits until it serves.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start(program: &Program, pace: CallPace) -> Result<Self> {
        Self::start_with(program, pace, &[]).await
    }

    /// The same with settings of its own, by the names of their variables.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start_with(
        program: &Program,
        pace: CallPace,
        settings: &[(&'static str, String)],
    ) -> Result<Self> {
        let mut all = match pace {
            CallPace::Default => Vec::new(),
            CallPace::Lifted => PACES.map(|name| (name, "1000000".to_owned())).to_vec(),
        };
        all.extend_from_slice(settings);
        let run = Run { program: program.clone(), settings: all, folder: tempfile::tempdir()? };
        let (server, ready) = run.start(([127, 0, 0, 1], 0).into()).await?;
        Ok(Self { server, address: ready.grpc, http: ready.http, run })
    }

    /// Ends the hub at once, and starts it again on its folder and port.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn restart(&mut self) -> Result<()> {
        self.server.kill();
        let (server, ready) = self.run.start(self.address).await?;
        (self.server, self.http) = (server, ready.http);
        Ok(())
    }

    /// A token for every role of a tenant.
    ///
    /// # Errors
    /// If the tenant's name is none.
    pub fn token(&self, tenant: &str) -> Result<String> {
        token(self.run.folder.path(), tenant)
    }

    /// Tokens like [`Self::token`], one of each subject, all issued at `now` and
    /// valid for `ttl`.
    ///
    /// # Errors
    /// If the tenant's name is none.
    pub fn tokens(
        &self,
        tenant: &str,
        subjects: impl IntoIterator<Item = String>,
        now: SystemTime,
        ttl: Duration,
    ) -> Result<Vec<String>> {
        let issuer = DevIssuer::open(self.run.folder.path())?;
        let mint = |subject: String| Ok(issuer.mint(&claims(tenant, &subject, ttl)?, now)?);
        subjects.into_iter().map(mint).collect()
    }

    /// A connection for single calls.
    ///
    /// # Errors
    /// If the hub does not answer.
    pub async fn channel(&self) -> Result<Channel> {
        Ok(Endpoint::from_shared(format!("http://{}", self.address))?.tcp_nodelay(true).connect().await?)
    }
}

impl Run {
    async fn start(&self, listen: SocketAddr) -> Result<(Server, Ready)> {
        let ready_file = self.folder.path().join("ready.json");
        // That of the run before says nothing of this one.
        if let Err(error) = std::fs::remove_file(&ready_file)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error.into());
        }
        let mut command = match &self.program {
            Program::Itself { current_thread } => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("hub-server").args(current_thread.then_some("--current-thread"));
                command
            }
            Program::Under { wrapper, workers } => {
                let (program, options) = wrapper.split_first().ok_or("a wrapper without a program")?;
                let mut command = Command::new(program);
                command.args(options).arg(std::env::current_exe()?).arg("hub-server");
                match workers {
                    None => command.arg("--current-thread"),
                    // Tokio's own variable.
                    Some(workers) => command.env("TOKIO_WORKER_THREADS", workers.to_string()),
                };
                command
            }
            Program::Binary(path) => {
                let mut command = Command::new(path);
                command.arg("serve");
                command
            }
        };
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.envs([("CONFHUB_LISTEN", &*listen.to_string()), ("CONFHUB_HTTP", "127.0.0.1:0")]);
        command.arg("--data-dir").arg(self.folder.path()).arg("--ready-file").arg(&ready_file);
        Server::start(&mut command, &ready_file).await
    }
}

/// A token for every role of a tenant, from the development issuer of the hub
/// that uses this folder.
///
/// # Errors
/// If there is no hub, or the tenant's name is none.
pub fn token(data_dir: &Path, tenant: &str) -> Result<String> {
    let issuer = DevIssuer::open(data_dir)?;
    Ok(issuer.mint(&claims(tenant, "bench", Duration::from_secs(24 * 3_600))?, SystemTime::now())?)
}

/// What a token for every role of a tenant says.
fn claims(tenant: &str, subject: &str, ttl: Duration) -> Result<DevClaims> {
    Ok(DevClaims {
        tenant: TenantId::new(tenant)?,
        service: None,
        roles: Role::ALL.to_vec(),
        subject: subject.to_owned(),
        ttl,
    })
}

/// Calls in the name of a tenant.
#[derive(Clone)]
pub struct Caller {
    admin: AdminServiceClient<Channel>,
    authorization: MetadataValue<Ascii>,
}

impl Caller {
    /// Calls with this token.
    ///
    /// # Errors
    /// If the token does not fit into a header.
    pub fn new(channel: Channel, token: &str) -> Result<Self> {
        let authorization = format!("Bearer {token}").parse()?;
        Ok(Self { admin: AdminServiceClient::new(channel), authorization })
    }

    /// `message`, with the token.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.authorization.clone());
        request
    }

    /// Writes a JSON value to a shared entry; returns the version.
    ///
    /// # Errors
    /// If the hub refuses.
    pub async fn put(&self, key: &str, value: Bytes) -> Result<u64> {
        self.put_content(key, input::json(value)).await
    }

    /// Writes any content to a shared entry; returns the version.
    ///
    /// # Errors
    /// If the hub refuses.
    pub async fn put_content(&self, key: &str, content: wire::Content) -> Result<u64> {
        let put =
            wire::PutRequest { key: key.to_owned(), content: Some(content), ..wire::PutRequest::default() };
        Ok(self.admin.clone().put(self.request(put)).await?.into_inner().version)
    }

    /// Writes settings, a thousand at a time.
    ///
    /// # Errors
    /// If the hub refuses.
    pub async fn seed(&self, settings: &[input::Setting]) -> Result<()> {
        for part in settings.chunks(limits::APPLY_CHANGES) {
            let changes = part.iter().map(input::Setting::change).collect();
            self.admin.clone().apply(self.request(wire::ApplyRequest { changes })).await?;
        }
        Ok(())
    }
}

/// What `hub-server` is told, by which a program is the hub that it measures.
#[derive(Debug, clap::Args)]
pub struct HubServerArgs {
    /// One thread.
    #[arg(long)]
    current_thread: bool,
    /// Folder of the store.
    #[arg(long)]
    data_dir: PathBuf,
    /// File that receives the addresses.
    #[arg(long)]
    ready_file: PathBuf,
}

/// Is the hub, until the process that started it ends: the hub's own code with
/// its default settings and those of the environment, on tokio's default runtime or on one thread.
///
/// # Errors
/// If it cannot start or serve.
pub fn serve(args: HubServerArgs) -> Result<()> {
    server::end_with_parent();
    let loaded = config::load(&ServeArgs::default(), std::env::vars_os(), &backend::names())?;
    let mut settings =
        Settings { data_dir: args.data_dir, ready_file: Some(args.ready_file), ..loaded.settings };
    // Nobody reads it here; a file of the hub's own costs a write for each change.
    settings.audit.to = AuditTo::Off;
    let runtime = if args.current_thread {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?
    } else {
        server::runtime()?
    };
    runtime.block_on(async {
        let app = App::start(settings, system_clock()).await?;
        Ok(app.run(std::future::pending()).await?)
    })
}
