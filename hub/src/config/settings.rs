//! What there is to set. The defaults are the embedded default: one program,
//! one folder, nothing else.

use confhub_proto::Prefix;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Everything that a hub is told when it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder of the embedded store and of the development issuer's key.
    pub data_dir: PathBuf,
    /// Address of the gRPC port; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Address of the HTTP port: health, metrics, development keys.
    pub http: SocketAddr,
    /// File that receives the bound addresses as JSON once the hub is ready.
    pub ready_file: Option<PathBuf>,
    /// Which backend owns the keys of which prefix; the longest prefix wins.
    pub backends: Vec<(Prefix, String)>,
    /// Whose tokens are accepted, and how they are read.
    pub auth: AuthSettings,
    /// Bounds.
    pub limits: LimitSettings,
    /// Times.
    pub times: TimeSettings,
    /// Logs.
    pub log: LogSettings,
}

/// Whose tokens are accepted, and how they are read.
#[derive(Debug, Clone)]
pub struct AuthSettings {
    /// The `iss` of accepted tokens. `None`: the development issuer of the data folder.
    pub issuer: Option<String>,
    /// Accept development tokens beyond this machine, where `listen` may be reached
    /// by others. On loopback they need no leave.
    pub development: bool,
    /// Where the issuer's keys are. Needed if `issuer` is set; apart from it,
    /// since emulators sign with the public issuer's name.
    pub jwks: Option<JwksLocation>,
    /// Accepted `aud` (ID token) or `client_id` (access token); empty: any.
    pub audience: Vec<String>,
    /// Claim with the tenant. Default: Cognito's `custom:tenantId`.
    pub tenant_claim: String,
    /// Claim with the service. Default: `custom:service`.
    pub service_claim: String,
    /// Claim with the roles. Default: Cognito's `cognito:groups`.
    pub roles_claim: String,
    /// Clock difference that is forgiven in `exp`, `nbf` and `iat`.
    pub leeway: Duration,
    /// Time between two refreshes of the keys.
    pub jwks_refresh: Duration,
}

/// Where keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksLocation {
    /// `https://…`, or `http://…` on loopback.
    Url(String),
    /// A file.
    File(PathBuf),
}

/// Bounds; see `limits` for the reason of each default.
#[derive(Debug, Clone)]
pub struct LimitSettings {
    /// Largest value, in bytes.
    pub value_bytes: usize,
    /// Most entries of one tenant, all services together.
    pub tenant_entries: usize,
    /// Most bytes of keys, types and values of one tenant.
    pub tenant_bytes: usize,
    /// Most different views of one tenant on this hub.
    pub views_per_tenant: usize,
    /// Most open streams of one tenant on this hub.
    pub streams_per_tenant: usize,
    /// Most open streams on this hub.
    pub streams: usize,
    /// Most connections on the gRPC port.
    pub connections: usize,
}

/// Times.
#[derive(Debug, Clone)]
pub struct TimeSettings {
    /// Longest silence on a stream.
    pub heartbeat: Duration,
    /// How long a tenant that nobody listens to stays in memory.
    pub tenant_idle: Duration,
    /// Mean time between two sweeps that compare a loaded tenant with its backends.
    pub reconcile: Duration,
    /// How long a shutdown may take.
    pub drain: Duration,
}

/// Logs.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// Levels: `info`, or by target: `warn,confhub=debug`.
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Settings {
    fn default() -> Self {
        let prefix = |text: &str| Prefix::new(text).unwrap_or_else(|_| unreachable!("a constant"));
        let embedded = |text| (prefix(text), "embedded".to_owned());
        Self {
            data_dir: "confhub-data".into(),
            listen: ([127, 0, 0, 1], 7600).into(),
            http: ([127, 0, 0, 1], 7601).into(),
            ready_file: None,
            backends: vec![embedded("tenant_config_"), embedded("param_config_")],
            auth: AuthSettings::default(),
            limits: LimitSettings::default(),
            times: TimeSettings::default(),
            log: LogSettings { filter: "info".to_owned(), format: LogFormat::Text },
        }
    }
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            issuer: None,
            development: false,
            jwks: None,
            audience: Vec::new(),
            tenant_claim: "custom:tenantId".to_owned(),
            service_claim: "custom:service".to_owned(),
            roles_claim: "cognito:groups".to_owned(),
            leeway: Duration::from_secs(30),
            jwks_refresh: Duration::from_secs(300),
        }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        use crate::limits;
        Self {
            value_bytes: limits::VALUE_BYTES,
            tenant_entries: limits::TENANT_ENTRIES,
            tenant_bytes: limits::TENANT_BYTES,
            views_per_tenant: limits::VIEWS_PER_TENANT,
            streams_per_tenant: limits::STREAMS_PER_TENANT,
            streams: limits::STREAMS,
            connections: limits::CONNECTIONS,
        }
    }
}

impl Default for TimeSettings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(15),
            tenant_idle: Duration::from_secs(60),
            reconcile: Duration::from_secs(300),
            drain: Duration::from_secs(10),
        }
    }
}
