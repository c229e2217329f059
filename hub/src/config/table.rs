//! The one table of settings.
//!
//! A row names a setting, says what it is for, what form its value has, and
//! where it stands in [`Settings`]. The file's keys, the variables, the flags,
//! the help texts and `--print-config` are all read off it.

use super::form::{
    Address, Audit, Choice, ClaimName, Count, Filter, Form, Issuers, Location, OptionalPath, OptionalTenant,
    OptionalText, Origins, Path, Routes, Size, Span, Switch, TOKEN_USE, Text, Words,
};
use super::source::Raw;
use super::{
    ClientCertificates, LogFormat, ParameterTier, Profile, Settings, StringLists, UnknownTenants,
    WithoutService,
};
use confhub_flags::HashVersion;
use std::time::Duration;

/// One setting.
pub(super) trait Setting: Sync {
    /// Its dotted name: the file's key.
    fn name(&self) -> &'static str;

    /// Its own flag, without dashes, if it has one. Every setting has `--set`.
    fn flag(&self) -> Option<&'static str>;

    /// What it is for.
    fn help(&self) -> &'static str;

    /// What values it takes.
    fn expected(&self) -> String;

    /// Sets it, or says why not.
    fn set(&self, settings: &mut Settings, raw: &Raw) -> Result<(), Option<String>>;

    /// Its value in TOML.
    fn show(&self, settings: &mut Settings) -> String;

    /// Its environment variable.
    fn variable(&self) -> String {
        format!("CONFHUB_{}", self.name().replace(['.', '-'], "_").to_ascii_uppercase())
    }
}

/// The setting named `name`.
pub(super) fn find(name: &str) -> Option<&'static dyn Setting> {
    TABLE.iter().copied().find(|setting| setting.name() == name)
}

struct Row<F: Form> {
    name: &'static str,
    flag: Option<&'static str>,
    help: &'static str,
    form: F,
    at: fn(&mut Settings) -> &mut F::Value,
}

impl<F: Form + Sync> Setting for Row<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn flag(&self) -> Option<&'static str> {
        self.flag
    }

    fn help(&self) -> &'static str {
        self.help
    }

    fn expected(&self) -> String {
        self.form.expected()
    }

    fn set(&self, settings: &mut Settings, raw: &Raw) -> Result<(), Option<String>> {
        *(self.at)(settings) = self.form.parse(raw)?;
        Ok(())
    }

    fn show(&self, settings: &mut Settings) -> String {
        self.form.show((self.at)(settings))
    }
}

const fn span(min_millis: u64, max_secs: u64) -> Span {
    Span { min: Duration::from_millis(min_millis), max: Duration::from_secs(max_secs) }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// The largest unit of which a 32-bit machine can count three.
const GIB: usize = 1024 * 1024 * 1024;

macro_rules! row {
    ($name:literal, $flag:expr, $form:expr, $help:literal, $($at:ident).+) => {
        &Row { name: $name, flag: $flag, help: $help, form: $form, at: |settings| &mut settings.$($at).+ }
    };
}

/// All settings: those without a group first, then group by group, as a file
/// has them.
#[rustfmt::skip]
pub(super) static TABLE: &[&'static dyn Setting] = &[
    row!("profile", Some("profile"), Choice(&[("embedded", Profile::Embedded), ("aws", Profile::Aws)]),
        "Where truth is unless `backends` says otherwise: one file here, or the stores of an AWS account",
        profile),
    row!("data-dir", Some("data-dir"), Path,
        "Folder of the embedded store and of the development issuer's key", data_dir),
    row!("listen", Some("listen"), Address,
        "Address of the gRPC port; port 0 lets the system choose", listen),
    row!("http", Some("http"), Address,
        "Address of the HTTP port: health, metrics, development keys, flags over OFREP", http),
    row!("plaintext", None, Switch,
        "Allow plaintext beyond this machine, where something else encrypts", plaintext),
    row!("ready-file", Some("ready-file"), OptionalPath,
        "File that receives the bound addresses as JSON once the hub is ready", ready_file),
    row!("backends", None, Routes,
        "Which backend owns the keys of which prefix; the longest prefix wins", backends),
    row!("auth.issuer", Some("issuer"), OptionalText,
        "The `iss` of accepted tokens; none: the development issuer of the data folder", auth.issuer),
    row!("auth.development", None, Switch,
        "Accept development tokens although `listen` is beyond this machine", auth.development),
    row!("auth.jwks", Some("jwks"), Location,
        "Where the issuer's keys are: its JSON Web Key Set; none: where the issuer's own document says", auth.jwks),
    row!("auth.audience", Some("audience"), Words,
        "Accepted `aud` (ID token) or `client_id` (access token); none: any", auth.audience),
    row!("auth.tenant-claim", None, ClaimName,
        "Claim with the tenant; from `/` on a JSON Pointer into the token", auth.tenant_claim),
    row!("auth.service-claim", None, ClaimName,
        "Claim with the service; from `/` on a JSON Pointer into the token", auth.service_claim),
    row!("auth.roles-claim", None, ClaimName,
        "Claim with the roles: an array of strings, or words", auth.roles_claim),
    row!("auth.operators", None, OptionalTenant,
        "Tenant whose operators say which tenants are served, and whose revokers may revoke any token; \
         none: nobody (with development tokens: `operators`)", auth.operators),
    row!("auth.unknown-tenants", None,
        Choice(&[("admit", UnknownTenants::Admit), ("refuse", UnknownTenants::Refuse)]),
        "Whether tenants of which no operator said anything are served", auth.unknown_tenants),
    row!("auth.without-service", None,
        Choice(&[("any", WithoutService::Any), ("shared", WithoutService::Shared)]),
        "What a token without a service may see: any service of its tenant, or shared entries alone \
         (unless it may write)", auth.without_service),
    row!("auth.token-use", None, TOKEN_USE,
        "Accepted kind of tokens, by `token_use` or `typ`", auth.token_use),
    row!("auth.issuers", None, Issuers,
        "Further issuers, each with settings of its own; what one leaves out is as `auth` has it", auth.issuers),
    row!("auth.leeway", None, span(0, 10 * MINUTE),
        "Clock difference that is forgiven in `exp`, `nbf` and `iat`", auth.leeway),
    row!("auth.jwks-refresh", None, span(1_000, DAY),
        "Time between two reads of the issuer's keys", auth.jwks_refresh),
    row!("tls.certificate", Some("tls-certificate"), OptionalPath,
        "PEM file with the certificate of both ports; none: plaintext", tls.certificate),
    row!("tls.key", Some("tls-key"), OptionalPath,
        "PEM file with the certificate's private key", tls.key),
    row!("tls.client-ca", Some("tls-client-ca"), OptionalPath,
        "PEM file with the CAs that sign the certificates of clients of the gRPC port; none: clients need none",
        tls.client_ca),
    row!("tls.client-certificates", None,
        Choice(&[("required", ClientCertificates::Required), ("optional", ClientCertificates::Optional)]),
        "Whether a client without a certificate is refused, if there is such a CA", tls.client_certificates),
    row!("tls.reload", None, span(100, HOUR),
        "Time between two looks whether these files have changed", tls.reload),
    row!("flags.hash", None,
        Choice(&[("cbor", HashVersion::Cbor), ("text", HashVersion::Text), ("percent", HashVersion::Percent)]),
        "How `fractional` places users where this hub evaluates: as which versions of flagd's providers do, \
         see client-sdk/flags/HASHES.md", flags.hash),
    row!("flags.cors-origins", None, Origins,
        "Origins whose pages may ask for flags over OFREP from a browser; none: no page may", flags.cors_origins),
    row!("aws.region", None, OptionalText,
        "Region of the stores and queues; none: as the AWS SDK finds it (AWS_REGION, profile, metadata)",
        aws.region),
    row!("aws.endpoint", None, OptionalText,
        "URL that takes all calls in place of AWS: an emulator; none: AWS, or AWS_ENDPOINT_URL", aws.endpoint),
    row!("aws.table", None, Text,
        "DynamoDB table of the entries", aws.table),
    row!("aws.root", None, Text,
        "First part of the names in Parameter Store and Secrets Manager: /root/tenant/service/key", aws.root),
    row!("aws.kms-key", None, OptionalText,
        "KMS key of secrets that are written; none: the account's default key", aws.kms_key),
    row!("aws.parameter-tier", None, Choice(&[
        ("standard", ParameterTier::Standard), ("advanced", ParameterTier::Advanced),
        ("intelligent", ParameterTier::Intelligent)]),
        "Tier of parameters that are written: standard takes 4 KB, the others 8 KB and cost money",
        aws.parameter_tier),
    row!("aws.string-lists", None, Choice(&[("json", StringLists::Json), ("plain", StringLists::Plain)]),
        "How a parameter of type StringList is read: as a JSON array, or as it stands", aws.string_lists),
    row!("aws.topic", None, OptionalText,
        "ARN of the SNS topic with the change events; this hub makes a queue of its own for it", aws.topic),
    row!("aws.queue", None, OptionalText,
        "URL of a fixed SQS queue with the change events, for a single hub; not beside `aws.topic`", aws.queue),
    row!("aws.queue-prefix", None, Text,
        "How the names of the hubs' own queues begin", aws.queue_prefix),
    row!("aws.queue-reap", None, span(100, DAY),
        "Mean time between two looks for own queues of hubs that are gone; those silent for 15m are removed", aws.queue_reap),
    row!("aws.dead-letter-queue", None, OptionalText,
        "ARN of the queue for messages that a hub's own queue cannot use; none: they are dropped",
        aws.dead_letter_queue),
    row!("aws.parameter-reads", None, Count { max: 10_000 },
        "Most reads of Parameter Store a second, all tenants together (AWS: 40 unless raised)",
        aws.parameter_reads),
    row!("aws.table-capacity", None, Count { max: 10_000_000 },
        "Read capacity units a second that sweeps of the table may use, all tenants together",
        aws.table_capacity),
    row!("limits.value-bytes", None, Size { min: 1, max: confhub_proto::limits::VALUE_BYTES },
        "Largest value", limits.value_bytes),
    row!("limits.tenant-entries", None, Count { max: 10_000_000 },
        "Most entries of one tenant, all services together", limits.tenant_entries),
    row!("limits.tenant-bytes", None, Size { min: 1, max: 3 * GIB },
        "Most bytes of keys, types and values of one tenant", limits.tenant_bytes),
    row!("limits.views-per-tenant", None, Count { max: 100_000 },
        "Most different views of one tenant on this hub", limits.views_per_tenant),
    row!("limits.streams-per-tenant", None, Count { max: 10_000_000 },
        "Most open streams of one tenant on this hub", limits.streams_per_tenant),
    row!("limits.streams", None, Count { max: 10_000_000 },
        "Most open streams on this hub", limits.streams),
    row!("limits.connections", None, Count { max: 10_000_000 },
        "Most connections on the gRPC port", limits.connections),
    row!("limits.http-connections", None, Count { max: 1_000_000 },
        "Most connections on the HTTP port", limits.http_connections),
    row!("limits.accepts-per-second", None, Count { max: 1_000_000 },
        "New connections a second; more wait for their turn", limits.accepts_per_second),
    row!("limits.streams-per-connection", None, Count { max: 1_000_000 },
        "Most calls and streams at once on one connection", limits.streams_per_connection),
    row!("limits.calls-per-tenant", None, Count { max: 512 },
        "Most single calls of one tenant under way at a time", limits.calls_per_tenant),
    row!("limits.bulk-reads-per-tenant", None, Count { max: 64 },
        "Most reads of a whole tenant under way at a time, for one tenant", limits.bulk_reads_per_tenant),
    row!("limits.calls-per-second", None, Count { max: 1_000_000 },
        "Single calls of one tenant a second; more wait for their turn", limits.calls_per_second),
    row!("limits.bulk-bytes-per-second", None, Size { min: 1, max: GIB / 10 },
        "Bytes a second that reads of a whole tenant may read, for one tenant; more wait", limits.bulk_bytes_per_second),
    row!("limits.opens-per-second", None, Count { max: 1_000_000 },
        "Streams of one tenant a second that may end within 10 s of their beginning", limits.opens_per_second),
    row!("times.heartbeat", Some("heartbeat"), span(100, 10 * MINUTE),
        "Longest silence on a stream", times.heartbeat),
    row!("times.tenant-idle", None, span(0, DAY),
        "How long a tenant that nobody listens to stays in memory", times.tenant_idle),
    row!("times.reconcile", None, span(100, DAY),
        "Mean time between two sweeps that compare a loaded tenant with its backends", times.reconcile),
    row!("times.stream-age", None, span(0, 30 * DAY),
        "About how old a stream gets before it moves (0: no limit)", times.stream_age),
    row!("times.connection-idle", None, span(100, DAY),
        "How long a connection without a call is kept", times.connection_idle),
    row!("times.drain", None, span(0, HOUR),
        "How long a shutdown may take", times.drain),
    row!("audit.to", Some("audit"), Audit,
        "Where the audit log goes: writes, reveals, revocations and refused calls, as JSON lines", audit.to),
    row!("audit.max-bytes", None, Size { min: 64 * 1024, max: 3 * GIB },
        "Size at which an audit file is put aside", audit.max_bytes),
    row!("audit.keep", None, Count { max: 1_000 },
        "Audit files that are kept beside the present one", audit.keep),
    row!("log.filter", Some("log"), Filter,
        "What is logged", log.filter),
    row!("log.format", Some("log-format"), Choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]),
        "How a log line looks", log.format),
];
