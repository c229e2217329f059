//! The hub at the other end: a channel with the caller's token on every call,
//! and a bound on every wait.

use super::args::HubArgs;
use super::error::CliError;
use super::live;
use confhub_client::explain;
use confhub_proto::wire::access_service_client::AccessServiceClient;
use confhub_proto::wire::admin_service_client::AdminServiceClient;
use confhub_proto::wire::config_service_client::ConfigServiceClient;
use confhub_proto::wire::fleet_service_client::FleetServiceClient;
use confhub_proto::wire::rollout_service_client::RolloutServiceClient;
use confhub_proto::{Entry, limits, wire};
use std::error::Error as _;
use std::io::Read;
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

/// Largest answer that is accepted, in bytes: the history of a key whose 100
/// versions are as large as any hub allows.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Most bytes of a tenant's entries that are taken into memory.
const LIST_BYTES: usize = 512 * 1024 * 1024;

/// A channel that puts the token on every call.
pub(crate) type Authorized = InterceptedService<Channel, Bearer>;

/// A hub, and who we are to it.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    endpoint: String,
    timeout: Duration,
    channel: Channel,
    bearer: Bearer,
}

impl Hub {
    /// Connects.
    ///
    /// # Errors
    /// If there is no token, the endpoint is not usable, or nobody answers.
    pub(crate) async fn connect(args: &HubArgs) -> Result<Self, CliError> {
        let bearer = Bearer::new(&token(args)?)?;
        let channel = live::builder(args).channel().await;
        let channel = channel.map_err(|error| live::failed(&args.endpoint, error))?;
        Ok(Self { endpoint: args.endpoint.clone(), timeout: args.timeout, channel, bearer })
    }

    /// The reading side.
    pub(crate) fn config(&self) -> ConfigServiceClient<Authorized> {
        ConfigServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(ANSWER_BYTES)
    }

    /// The writing side.
    pub(crate) fn admin(&self) -> AdminServiceClient<Authorized> {
        AdminServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(ANSWER_BYTES)
    }

    /// The side that says who is let in.
    pub(crate) fn access(&self) -> AccessServiceClient<Authorized> {
        AccessServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(ANSWER_BYTES)
    }

    /// The side that knows what instances have applied.
    pub(crate) fn fleet(&self) -> FleetServiceClient<Authorized> {
        FleetServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(ANSWER_BYTES)
    }

    /// The side that rolls flags out.
    pub(crate) fn rollouts(&self) -> RolloutServiceClient<Authorized> {
        RolloutServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(ANSWER_BYTES)
    }

    /// Longest wait for one answer.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The bare channel, for services that ask for no token.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Where it is.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Waits for an answer, for as long as the caller said.
    ///
    /// # Errors
    /// If it does not come, or is a refusal.
    pub(crate) async fn call<T>(
        &self,
        call: &str,
        answer: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Result<T, CliError> {
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.refused(call, status)),
            Err(_) => Err(self.timed_out(call)),
        }
    }

    /// The same for a write: if no answer comes, it may have been made.
    ///
    /// # Errors
    /// If it is refused, or not answered.
    pub(crate) async fn write<T>(
        &self,
        call: &str,
        answer: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Result<T, CliError> {
        use tonic::Code::{Cancelled, DeadlineExceeded, Unknown};
        self.call(call, answer).await.map_err(|error| {
            let unanswered = match &error {
                CliError::TimedOut { .. } | CliError::Broken { .. } => true,
                CliError::Hub { status, .. } => {
                    matches!(status.code(), Cancelled | DeadlineExceeded | Unknown)
                }
                _ => false,
            };
            if unanswered { CliError::Uncertain(Box::new(error)) } else { error }
        })
    }

    /// All entries of the tenant whose keys start with one of `prefixes` (none:
    /// all), at one moment.
    ///
    /// # Errors
    /// If the hub does not answer, refuses, or sends more than a tenant can have.
    pub(crate) async fn list(&self, prefixes: Vec<String>) -> Result<Vec<Entry>, CliError> {
        let call = "list the entries";
        let mut admin = self.admin();
        let mut stream = self.call(call, admin.list(wire::ListRequest { prefixes })).await?;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        loop {
            let next = tokio::time::timeout(self.timeout, stream.message());
            let part = next.await.map_err(|_| self.timed_out(call))?;
            let Some(part) = part.map_err(|status| self.refused(call, status))? else {
                return Ok(entries);
            };
            for entry in part.entries {
                let entry = Entry::try_from(entry).map_err(|error| malformed(call, &error))?;
                bytes += entry.size();
                entries.push(entry);
            }
            if bytes > LIST_BYTES {
                return Err(malformed(call, &format!("more than {LIST_BYTES} bytes of entries")));
            }
        }
    }

    fn timed_out(&self, call: &str) -> CliError {
        CliError::TimedOut {
            endpoint: self.endpoint.clone(),
            call: call.to_owned(),
            timeout_ms: self.timeout.as_millis(),
        }
    }

    fn refused(&self, call: &str, status: tonic::Status) -> CliError {
        // A status with a cause was made up on this side: no hub has said it.
        if status.source().is_some() {
            let (endpoint, call) = (self.endpoint.clone(), call.to_owned());
            return CliError::Broken { endpoint, call, reason: explain(&status) };
        }
        CliError::Hub { call: call.to_owned(), status: Box::new(status) }
    }
}

/// An answer that makes no sense.
pub(crate) fn malformed(call: &str, reason: &impl ToString) -> CliError {
    CliError::Answer { call: call.to_owned(), reason: reason.to_string() }
}

/// The header with the token.
#[derive(Debug, Clone)]
pub(crate) struct Bearer(MetadataValue<Ascii>);

impl Bearer {
    fn new(token: &str) -> Result<Self, CliError> {
        if token.len() > limits::TOKEN_BYTES {
            let reason =
                format!("the token has {} bytes; at most {} are allowed", token.len(), limits::TOKEN_BYTES);
            return Err(CliError::Usage(reason));
        }
        let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse().map_err(|_| {
            CliError::Usage("the token has characters that no token has: is it the right text?".to_owned())
        })?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// The token that the arguments name.
///
/// # Errors
/// If there is none, or its file cannot be read.
pub(crate) fn token(args: &HubArgs) -> Result<String, CliError> {
    if let Some(path) = &args.token_file {
        let mut text = String::new();
        // One byte more than allowed, so that a wrong file is told from a long token.
        let longest = u64::try_from(limits::TOKEN_BYTES).unwrap_or(u64::MAX) + 1;
        std::fs::File::open(path)
            .and_then(|file| file.take(longest).read_to_string(&mut text))
            .map_err(CliError::file("read", path))?;
        return match text.trim() {
            "" => Err(CliError::Usage(format!("the token file {} is empty", path.display()))),
            token => Ok(token.to_owned()),
        };
    }
    match &args.token {
        Some(token) if !token.0.is_empty() => Ok(token.0.clone()),
        _ => Err(CliError::NoToken),
    }
}

#[cfg(test)]
mod tests {
    use super::super::args::TrustArgs;
    use super::super::output::Output;
    use super::*;
    use std::io;
    use tonic::transport::Endpoint;

    fn args(endpoint: &str, allow_plaintext: bool) -> HubArgs {
        HubArgs {
            endpoint: endpoint.to_owned(),
            allow_plaintext,
            trust: TrustArgs::default(),
            client_cert: None,
            client_key: None,
            token: Some("a.b.c".into()),
            token_file: None,
            timeout: Duration::from_millis(1),
            output: Output::Text,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_never_leaves_the_machine_in_the_clear() {
        for bad in [
            "http://hub.example.com",
            "http://10.0.0.1:7600",
            "http://127.0.0.1.example.com",
            "ftp://localhost",
            "localhost:7600",
            "127.0.0.1:7600",
            "https://hub/path",
            "",
            "http://",
        ] {
            let error = Hub::connect(&args(bad, false)).await.unwrap_err();
            assert!(matches!(error, CliError::Endpoint { .. }), "{bad}: {error}");
            assert!(error.to_string().contains(bad), "{error}");
        }
        let error = Hub::connect(&args("http://me:hunter2@127.0.0.1:7600", true)).await.unwrap_err();
        let error = error.to_string();
        assert!(error.contains("a user") && !error.contains("hunter2"), "{error}");
        let error = Hub::connect(&args("http://127.0.0.1:1", false)).await.unwrap_err();
        assert!(matches!(error, CliError::Unreachable { .. }), "{error}");
    }

    fn nowhere() -> Hub {
        Hub {
            endpoint: "http://127.0.0.1:1".to_owned(),
            timeout: Duration::from_secs(10),
            channel: Endpoint::from_static("http://127.0.0.1:1").connect_lazy(),
            bearer: Bearer::new("a.b.c").unwrap(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_without_an_answer_is_neither_made_nor_refused() {
        use crate::cli::exit::Exit;
        type Answer = Result<tonic::Response<()>, tonic::Status>;
        let hub = nowhere();
        let broken = || tonic::Status::from_error(Box::new(io::Error::from(io::ErrorKind::ConnectionReset)));
        let cut = hub.write("put", async { Answer::Err(broken()) }).await.unwrap_err();
        let late = hub.write("put", std::future::pending::<Answer>()).await.unwrap_err();
        for error in [cut, late] {
            assert!(error.is_uncertain() && error.exit() == Exit::Unreachable, "{error}");
            assert!(error.to_string().contains("not known whether"), "{error}");
            assert!(error.hint().unwrap().contains("before you repeat it"), "{error}");
        }
        let refused =
            hub.write("put", async { Answer::Err(tonic::Status::aborted("faster")) }).await.unwrap_err();
        assert!(!refused.is_uncertain() && refused.exit() == Exit::Conflict, "{refused}");
        let read = hub.call("get", async { Answer::Err(broken()) }).await.unwrap_err();
        assert!(!read.is_uncertain() && read.exit() == Exit::Unreachable, "{read}");
    }

    #[test]
    fn a_token_with_a_line_break_is_refused() {
        assert!(Bearer::new("a.b.c").is_ok());
        assert!(Bearer::new("a\nb").is_err());
        assert!(!format!("{:?}", Bearer::new("hunter2").unwrap()).contains("hunter2"));
    }
}
