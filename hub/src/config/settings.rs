//! What there is to set. The defaults are the embedded default: one program,
//! one folder, nothing else.

use confhub_flags::HashVersion;
use confhub_proto::{Prefix, TenantId};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Everything that a hub is told when it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where truth is, unless `backends` says otherwise.
    pub profile: Profile,
    /// Folder of the embedded store and of the development issuer's key.
    pub data_dir: PathBuf,
    /// Address of the gRPC port; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Address of the HTTP port: health, metrics, development keys, flags over OFREP.
    pub http: SocketAddr,
    /// Allow plaintext beyond this machine, where there is no TLS.
    pub plaintext: bool,
    /// File that receives the bound addresses as JSON once the hub is ready.
    pub ready_file: Option<PathBuf>,
    /// Which backend owns the keys of which prefix; the longest prefix wins.
    pub backends: Vec<(Prefix, String)>,
    /// Whose tokens are accepted, and how they are read.
    pub auth: AuthSettings,
    /// TLS, on both ports.
    pub tls: TlsSettings,
    /// Evaluation of flags on this hub.
    pub flags: FlagSettings,
    /// The AWS account, for the backends and the change source that need one.
    pub aws: AwsSettings,
    /// Bounds.
    pub limits: LimitSettings,
    /// Times.
    pub times: TimeSettings,
    /// The audit log.
    pub audit: AuditSettings,
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
    /// Where the issuer's keys are; `None`: where its own document says. Apart from
    /// the issuer, since emulators sign with the public issuer's name.
    pub jwks: Option<JwksLocation>,
    /// Accepted `aud` (ID token) or `client_id` (access token); empty: any.
    pub audience: Vec<String>,
    /// Accepted kind of tokens.
    pub token_use: TokenUse,
    /// Further issuers.
    pub issuers: Vec<IssuerSettings>,
    /// Claim with the tenant. Default: Cognito's `custom:tenantId`. Like the other
    /// claims a name, or from `/` on a JSON Pointer (RFC 6901).
    pub tenant_claim: String,
    /// Claim with the service. Default: `custom:service`.
    pub service_claim: String,
    /// Claim with the roles. Default: Cognito's `cognito:groups`.
    pub roles_claim: String,
    /// The tenant whose operators say which tenants are served, and whose revokers
    /// may revoke any token. `None`: nobody's.
    pub operators: Option<TenantId>,
    /// Whether tenants of which no operator said anything are served.
    pub unknown_tenants: UnknownTenants,
    /// What a token that names no service may see.
    pub without_service: WithoutService,
    /// Clock difference that is forgiven in `exp`, `nbf` and `iat`.
    pub leeway: Duration,
    /// Time between two refreshes of the keys.
    pub jwks_refresh: Duration,
}

/// Whether tenants of which no operator said anything are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownTenants {
    /// They are: whoever the issuer names is a tenant.
    Admit,
    /// They are not, until an operator says so.
    Refuse,
}

/// What a token that names no service may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutService {
    /// Whatever service of its tenant the request names.
    Any,
    /// Shared entries alone, unless it may write.
    Shared,
}

/// TLS, on both ports.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// PEM file with the hub's certificate, and those between it and its CA.
    pub certificate: Option<PathBuf>,
    /// PEM file with the certificate's key.
    pub key: Option<PathBuf>,
    /// PEM file with the CAs whose clients may connect to the gRPC port. `None`:
    /// clients need no certificate.
    pub client_ca: Option<PathBuf>,
    /// Whether clients need a certificate if there is such a CA.
    pub client_certificates: ClientCertificates,
    /// Time between two looks at the files.
    pub reload: Duration,
}

/// Whether clients need a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Whoever has none is refused.
    Required,
    /// Whoever has one needs a good one; others are served too. For the time in which
    /// clients are given theirs.
    Optional,
}

/// Evaluation of flags on this hub, for those who ask for it over HTTP.
#[derive(Debug, Clone, Default)]
pub struct FlagSettings {
    /// How `fractional` places users.
    pub hash: HashVersion,
    /// Origins whose pages may ask from a browser; `*`: any. Empty: none.
    pub cors_origins: Vec<String>,
}

/// One issuer's own settings. What is `None` is as [`AuthSettings`] has it, save
/// that `jwks` has no such fallback: keys are one issuer's alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerSettings {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// Where its keys are; `None`: where its own document says.
    pub jwks: Option<JwksLocation>,
    /// Accepted `aud` or `client_id`.
    pub audience: Option<Vec<String>>,
    /// Claim with the tenant.
    pub tenant_claim: Option<String>,
    /// Claim with the service.
    pub service_claim: Option<String>,
    /// Claim with the roles.
    pub roles_claim: Option<String>,
    /// The tenant that all its tokens are of, whatever they claim. No other
    /// issuer's token can be of it.
    pub tenant: Option<TenantId>,
    /// Accepted kind of tokens.
    pub token_use: Option<TokenUse>,
}

/// What tokens are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenUse {
    /// Anything that authenticates.
    Any,
    /// To say who somebody is: `token_use` is `id`.
    Id,
    /// To call something: `token_use` is `access`, or `typ` is `at+jwt` (RFC 9068).
    Access,
}

impl IssuerSettings {
    /// An issuer that is as [`AuthSettings`] has it for all.
    #[must_use]
    pub fn new(issuer: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            jwks: None,
            audience: None,
            tenant_claim: None,
            service_claim: None,
            roles_claim: None,
            tenant: None,
            token_use: None,
        }
    }
}

impl AuthSettings {
    /// Whether any issuer is set: then development tokens are not accepted.
    #[must_use]
    pub fn has_issuer(&self) -> bool {
        self.issuer.is_some() || !self.issuers.is_empty()
    }

    /// All issuers that are set: `issuer` with its `jwks`, then the further ones.
    #[must_use]
    pub fn accepted(&self) -> Vec<IssuerSettings> {
        let first = self.issuer.as_deref().map(|issuer| {
            let jwks = self.jwks.clone();
            IssuerSettings { jwks, ..IssuerSettings::new(issuer) }
        });
        first.into_iter().chain(self.issuers.iter().cloned()).collect()
    }
}

/// Where truth is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// In one file of this machine.
    Embedded,
    /// In DynamoDB, Parameter Store and Secrets Manager.
    Aws,
}

/// The AWS account. Credentials are found as the AWS SDKs find them.
#[derive(Debug, Clone)]
pub struct AwsSettings {
    /// Region; `None`: as the SDK finds it.
    pub region: Option<String>,
    /// URL that takes all calls in place of AWS.
    pub endpoint: Option<String>,
    /// DynamoDB table of the entries.
    pub table: String,
    /// First part of the names in Parameter Store and Secrets Manager.
    pub root: String,
    /// KMS key of secrets that are written; `None`: the account's default key.
    pub kms_key: Option<String>,
    /// Tier of parameters that are written.
    pub parameter_tier: ParameterTier,
    /// How parameters of type `StringList` are read.
    pub string_lists: StringLists,
    /// ARN of the topic with the change events, for which this hub makes a queue.
    pub topic: Option<String>,
    /// URL of a fixed queue with the change events.
    pub queue: Option<String>,
    /// How the names of the hubs' own queues begin.
    pub queue_prefix: String,
    /// Mean time between two looks for queues of hubs that are gone.
    pub queue_reap: Duration,
    /// ARN of the queue for what the hubs' own queues cannot use.
    pub dead_letter_queue: Option<String>,
    /// Most reads of Parameter Store a second.
    pub parameter_reads: usize,
    /// Read capacity units a second that sweeps of the table may use.
    pub table_capacity: usize,
}

/// Tier of a parameter.
/// <https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterTier {
    /// Values up to 4 KB, free of charge.
    Standard,
    /// Values up to 8 KB, charged by the month.
    Advanced,
    /// Advanced where the value needs it.
    Intelligent,
}

/// How a parameter of type `StringList` is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StringLists {
    /// As a JSON array of its parts.
    Json,
    /// As it stands: parts with commas between them.
    Plain,
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
    /// Most connections on the HTTP port.
    pub http_connections: usize,
    /// New connections a second.
    pub accepts_per_second: usize,
    /// Most calls and streams at once on one connection.
    pub streams_per_connection: usize,
    /// Most single calls of one tenant under way at a time.
    pub calls_per_tenant: usize,
    /// Most reads of a whole tenant under way at a time, for one tenant.
    pub bulk_reads_per_tenant: usize,
    /// Single calls of one tenant a second.
    pub calls_per_second: usize,
    /// Bytes a second that reads of a whole tenant may read, for one tenant.
    pub bulk_bytes_per_second: usize,
    /// Streams of one tenant a second that may end soon after their beginning.
    pub opens_per_second: usize,
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
    /// About how old a stream gets: each ends between half of it and half as much
    /// again, so that load moves to new hubs little by little. Zero: no limit.
    pub stream_age: Duration,
    /// How long a connection without a call is kept.
    pub connection_idle: Duration,
    /// How long a shutdown may take.
    pub drain: Duration,
}

/// The audit log: who did what.
#[derive(Debug, Clone)]
pub struct AuditSettings {
    /// Where it goes.
    pub to: AuditTo,
    /// Size at which a file is put aside, in bytes.
    pub max_bytes: usize,
    /// How many files that were put aside are kept.
    pub keep: usize,
}

/// Where the audit log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditTo {
    /// Nowhere.
    Off,
    /// To standard output.
    Output,
    /// To a file.
    File(PathBuf),
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
        Self {
            profile: Profile::Embedded,
            data_dir: "confhub-data".into(),
            listen: ([127, 0, 0, 1], 7600).into(),
            http: ([127, 0, 0, 1], 7601).into(),
            plaintext: false,
            ready_file: None,
            backends: Profile::Embedded.backends(),
            auth: AuthSettings::default(),
            tls: TlsSettings::default(),
            flags: FlagSettings::default(),
            aws: AwsSettings::default(),
            limits: LimitSettings::default(),
            times: TimeSettings::default(),
            audit: AuditSettings::default(),
            log: LogSettings { filter: "info".to_owned(), format: LogFormat::Text },
        }
    }
}

impl Profile {
    /// Which backend owns which keys, unless the settings say otherwise.
    #[must_use]
    pub fn backends(self) -> Vec<(Prefix, String)> {
        let routes: &[(&str, &str)] = match self {
            Self::Embedded => &[("tenant_config_", "embedded"), ("param_config_", "embedded")],
            Self::Aws => &[
                ("tenant_config_", "dynamodb"),
                ("param_config_", "ssm"),
                ("secret_config_", "secretsmanager"),
            ],
        };
        let prefix = |text: &str| Prefix::new(text).unwrap_or_else(|_| unreachable!("a constant"));
        routes.iter().map(|(text, backend)| (prefix(text), (*backend).to_owned())).collect()
    }
}

impl Default for AwsSettings {
    fn default() -> Self {
        use crate::limits;
        Self {
            region: None,
            endpoint: None,
            table: "confhub".to_owned(),
            root: "confhub".to_owned(),
            kms_key: None,
            parameter_tier: ParameterTier::Standard,
            string_lists: StringLists::Json,
            topic: None,
            queue: None,
            queue_prefix: "confhub-hub".to_owned(),
            queue_reap: Duration::from_secs(300),
            dead_letter_queue: None,
            parameter_reads: limits::PARAMETER_READS,
            table_capacity: limits::TABLE_CAPACITY,
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
            token_use: TokenUse::Any,
            issuers: Vec::new(),
            tenant_claim: "custom:tenantId".to_owned(),
            service_claim: "custom:service".to_owned(),
            roles_claim: "cognito:groups".to_owned(),
            operators: None,
            unknown_tenants: UnknownTenants::Admit,
            without_service: WithoutService::Any,
            leeway: Duration::from_secs(30),
            jwks_refresh: Duration::from_secs(300),
        }
    }
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            certificate: None,
            key: None,
            client_ca: None,
            client_certificates: ClientCertificates::Required,
            reload: Duration::from_secs(10),
        }
    }
}

impl Default for AuditSettings {
    fn default() -> Self {
        use crate::limits;
        Self { to: AuditTo::Output, max_bytes: limits::AUDIT_BYTES, keep: limits::AUDIT_FILES }
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
            http_connections: limits::HTTP_CONNECTIONS,
            accepts_per_second: limits::ACCEPTS_PER_SECOND,
            streams_per_connection: limits::STREAMS_PER_CONNECTION,
            calls_per_tenant: limits::CALLS_PER_TENANT,
            bulk_reads_per_tenant: limits::BULK_READS_PER_TENANT,
            calls_per_second: limits::CALLS_PER_SECOND,
            bulk_bytes_per_second: limits::BULK_BYTES_PER_SECOND,
            opens_per_second: limits::OPENS_PER_SECOND,
        }
    }
}

impl Default for TimeSettings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(15),
            tenant_idle: Duration::from_secs(60),
            reconcile: Duration::from_secs(300),
            stream_age: Duration::from_secs(3_600),
            connection_idle: crate::limits::CONNECTION_IDLE,
            drain: Duration::from_secs(10),
        }
    }
}
