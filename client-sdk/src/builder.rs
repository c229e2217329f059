//! From what a program asks for to a connected client.

use crate::budget::Budget;
use crate::credentials::{Credentials, SharedTokens};
use crate::endpoint::{DynDialer, Endpoint, Endpoints, Pem, Sharing, Tls, open_any};
use crate::start::{Plan, start};
use crate::view::View;
use crate::{Client, ConfigError, Dialer, Error, Status, TcpDialer, TokenSource, limits};
use confhub_flags::HashVersion;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::Channel;

/// Describes a client. An endpoint and a token are needed, all else has a default.
#[must_use = "a builder does nothing until `connect`"]
pub struct Builder {
    endpoints: Vec<String>,
    allow_plaintext: bool,
    tls: Tls,
    credentials: Option<Credentials>,
    service: Option<String>,
    prefixes: Vec<String>,
    instance: String,
    version: String,
    disk: Option<PathBuf>,
    connect_timeout: Duration,
    fallback_after: Duration,
    max_state_bytes: usize,
    flag_hash: HashVersion,
    dialer: Arc<dyn DynDialer>,
    seed: Option<u64>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            allow_plaintext: false,
            tls: Tls::default(),
            credentials: None,
            service: None,
            prefixes: Vec::new(),
            instance: String::new(),
            version: String::new(),
            disk: None,
            connect_timeout: limits::CONNECT_TIMEOUT,
            fallback_after: limits::FALLBACK_AFTER,
            max_state_bytes: limits::STATE_BYTES,
            flag_hash: HashVersion::default(),
            dialer: Arc::new(TcpDialer),
            seed: None,
        }
    }
}

impl Builder {
    /// A hub, or a name that stands for many: `https://name:port`, or
    /// `http://…` on this machine. May be called several times; all addresses
    /// of all endpoints are tried in random order.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoints.push(url.into());
        self
    }

    /// Allows `http://` beyond this machine. The token then crosses the network
    /// readable for all: only where something else encrypts, as a mesh does.
    pub fn allow_plaintext(mut self, allow: bool) -> Self {
        self.allow_plaintext = allow;
        self
    }

    /// A PEM file with the CA (or several) that has signed the hubs' certificates, in
    /// place of the system's roots. Read anew for each connection, so that a new
    /// file is followed.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.ca = Some(Pem::File(path.into()));
        self
    }

    /// The same as text.
    pub fn ca_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.tls.ca = Some(Pem::Text(pem.as_ref().into()));
        self
    }

    /// PEM files with the client's certificate and its key, for hubs that let nobody
    /// else connect. Read anew for each connection, so that new files are followed.
    /// Who the client is, the token says all the same.
    pub fn client_certificate_files(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.tls.identity = Some((Pem::File(certificate.into()), Pem::File(key.into())));
        self
    }

    /// The same as text.
    pub fn client_certificate(
        mut self,
        certificate_pem: impl AsRef<[u8]>,
        key_pem: impl AsRef<[u8]>,
    ) -> Self {
        let text = |pem: &[u8]| Pem::Text(pem.into());
        self.tls.identity = Some((text(certificate_pem.as_ref()), text(key_pem.as_ref())));
        self
    }

    /// The name that the hubs' certificates are for, if it is not the endpoints':
    /// where they are reached by an address, or through a tunnel.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.tls.server_name = Some(name.into());
        self
    }

    /// A token that never changes. Good for tests and tools; it will expire. If
    /// it is refused, [`connect`](Self::connect) says so at once.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.credentials = Some(Credentials::fixed(token.into()));
        self
    }

    /// A file with the token. It is looked at every two seconds at most, when a
    /// connection needs a token and when the present one is about to expire, so that
    /// a new one is used once it is there. Until a file that cannot be read is whole
    /// again, the token read before is used.
    pub fn token_file(self, path: impl Into<PathBuf>) -> Self {
        self.shared_tokens(&SharedTokens::file(path))
    }

    /// A command that prints the token: as such, or as a JSON object with it in
    /// `token`, `access_token` or `id_token` (the first of them that is there) and
    /// perhaps its life in seconds in `expires_in`. It is run with no shell and no
    /// input, when a token is needed and before one expires. It may take ten seconds
    /// and print 8 KiB; then it is killed, as it is when nobody waits for it any
    /// more. What it says on its standard error gets into the error if it fails, cut
    /// short: it must not print a token there.
    ///
    /// ```
    /// # use confhub_client::Client;
    /// let args = ["auth", "print-identity-token"];
    /// let builder = Client::builder().token_command("gcloud", args);
    /// ```
    pub fn token_command<A: AsRef<OsStr>>(
        self,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        self.shared_tokens(&SharedTokens::command(program, args))
    }

    /// A source of the program's own, which is asked when a token is needed, and
    /// before one expires.
    pub fn token_source(self, source: impl TokenSource) -> Self {
        self.shared_tokens(&SharedTokens::new(source))
    }

    /// A source that other clients have too, and that they ask together.
    pub fn shared_tokens(mut self, tokens: &SharedTokens) -> Self {
        self.credentials = Some(Credentials::of(tokens.clone()));
        self
    }

    /// The service whose entries are seen beside the shared ones, and win over
    /// them. A service named in the token overrules this.
    pub fn service(mut self, service: impl Into<String>) -> Self {
        self.service = Some(service.into());
        self
    }

    /// Narrows the view to keys that start with this. May be called up to 16
    /// times; a key has to match one of them.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefixes.push(prefix.into());
        self
    }

    /// Names this instance in the hub's listings and logs, for example the name
    /// of the host or pod.
    pub fn instance(mut self, name: impl Into<String>) -> Self {
        self.instance = name.into();
        self
    }

    /// The version of the program, for the hub's listings and logs.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Keeps the last good state in this file, so that the program can start
    /// while no hub can be reached. One file belongs to one client; its folder
    /// must exist. It is written at most once a second (rarer for large states)
    /// and at [`Client::close`](crate::Client::close): a program that ends without
    /// closing its client may start from a state that is a moment older.
    pub fn disk(mut self, path: impl Into<PathBuf>) -> Self {
        self.disk = Some(path.into());
        self
    }

    /// How long [`connect`](Self::connect) waits for a first state. Default: 10 s.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// How long [`connect`](Self::connect) waits for the hub if there is a state
    /// on disk, unless no address takes a connection: then it does not wait.
    /// Default: 1 s.
    pub fn fallback_after(mut self, limit: Duration) -> Self {
        self.fallback_after = limit;
        self
    }

    /// Largest state in memory, in bytes. An update that leads beyond it is not
    /// applied, and the status says so. Default: 256 MiB.
    pub fn max_state_bytes(mut self, limit: usize) -> Self {
        self.max_state_bytes = limit;
        self
    }

    /// The network to use in place of TCP and the system's resolver.
    pub fn dialer(mut self, dialer: impl Dialer) -> Self {
        self.dialer = Arc::new(dialer);
        self
    }

    /// Makes the random choices (order of addresses, pauses) repeatable.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Connects, and returns as soon as there is a state to read: the hub's, or
    /// with [`disk`](Self::disk) the last good one. The status tells which.
    ///
    /// The client lives on the tokio runtime on which this is called. If the
    /// future is dropped, so is the client.
    ///
    /// # Errors
    /// At once if the builder was told something impossible or the hub refuses
    /// the caller; otherwise after [`connect_timeout`](Self::connect_timeout).
    pub async fn connect(self) -> Result<Client, Error> {
        self.connect_telling(|_| {}).await
    }

    /// The same for a program that says what it waits for: `tell` is called with each
    /// [`Starting`](crate::Status::Starting) that tells of another failure. It must not
    /// block.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect).
    pub async fn connect_telling(self, tell: impl FnMut(&Status)) -> Result<Client, Error> {
        start(self.plan(Sharing::ALONE)?, tell).await
    }

    /// Opens a connection to the first hub that takes one, by the same rules as
    /// [`connect`](Self::connect), and leaves the rest to the caller: for a tool that
    /// makes single calls, of the messages of `confhub-proto`. No token is put on
    /// them. [`connect_timeout`](Self::connect_timeout) bounds the wait.
    ///
    /// # Errors
    /// If the builder was told something impossible, or nobody answers.
    pub async fn channel(self) -> Result<Channel, Error> {
        let limit = self.connect_timeout;
        let (shown, mut rng) = (self.endpoints.join(", "), self.rng());
        let endpoints = self.all_endpoints(Sharing::ALONE, rng.fork())?;
        open_any(endpoints, &shown, limit, &mut rng).await
    }

    fn rng(&self) -> fastrand::Rng {
        self.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed)
    }

    fn all_endpoints(&self, sharing: Sharing, rng: fastrand::Rng) -> Result<Endpoints, ConfigError> {
        if self.endpoints.is_empty() {
            return Err(ConfigError::NoEndpoint);
        }
        if self.endpoints.len() > limits::ENDPOINTS {
            let actual = self.endpoints.len();
            return Err(ConfigError::TooMany { what: "endpoints", actual, limit: limits::ENDPOINTS });
        }
        let check = |url: &String| Endpoint::new(url, self.allow_plaintext, &self.tls);
        let all: Vec<_> = self.endpoints.iter().map(check).collect::<Result<_, _>>()?;
        Ok(Endpoints::new(all, Arc::clone(&self.dialer), sharing, rng))
    }

    /// How `fractional` rules of flags place users: see [`HashVersion`] for which
    /// evaluators agree with which. Default: as the newest of Python and Rust do, by CBOR.
    pub fn flag_hash(mut self, version: HashVersion) -> Self {
        self.flag_hash = version;
        self
    }

    /// Checks everything that can be checked without asking anybody.
    pub(crate) fn plan(self, sharing: Sharing) -> Result<Plan, ConfigError> {
        let mut rng = self.rng();
        let endpoints = self.all_endpoints(sharing, rng.fork())?;
        for (name, time) in
            [("connect_timeout", self.connect_timeout), ("fallback_after", self.fallback_after)]
        {
            if time.is_zero() {
                return Err(ConfigError::Zero(name));
            }
        }
        if self.max_state_bytes == 0 {
            return Err(ConfigError::Zero("max_state_bytes"));
        }
        if let Some(path) = &self.disk {
            let refuse = |reason| Err(ConfigError::Disk { path: path.clone(), reason });
            match (path.file_name(), path.parent()) {
                _ if path.is_dir() => return refuse("is a folder; name a file in it"),
                (None, _) => return refuse("names no file"),
                (_, Some(folder)) if folder.as_os_str().is_empty() || folder.is_dir() => {}
                _ => return refuse("is in a folder that does not exist"),
            }
        }
        Ok(Plan {
            endpoints,
            shown_endpoints: self.endpoints.join(", "),
            credentials: self.credentials.ok_or(ConfigError::NoToken)?,
            view: View::new(self.service.as_deref(), &self.prefixes, &self.instance, &self.version)?,
            disk: self.disk,
            connect_timeout: self.connect_timeout,
            fallback_after: self.fallback_after,
            max_state_bytes: self.max_state_bytes,
            tenant: None,
            budget: Budget::unlimited(),
            flag_hash: self.flag_hash,
            rng,
        })
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("endpoints", &self.endpoints)
            .field("tls", &self.tls)
            .field("service", &self.service)
            .field("prefixes", &self.prefixes)
            .field("disk", &self.disk)
            .finish_non_exhaustive()
    }
}
