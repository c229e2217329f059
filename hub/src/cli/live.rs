//! The SDK as the commands use it: a client with the arguments of a command.

use super::args::HubArgs;
use super::error::CliError;
use super::hub;
use confhub_client::{Builder, Client, Closed, ConfigError, Error, FailureKind, Status};
use confhub_proto::{Prefix, ServiceName};

/// Connects and waits for the first state. Meanwhile `tell` hears how attempts end.
pub(crate) async fn connect(
    args: &HubArgs,
    service: Option<&ServiceName>,
    prefixes: &[Prefix],
    tell: impl FnMut(&Status),
) -> Result<Client, CliError> {
    let mut builder = builder(args).instance("confhub-cli");
    builder = match &args.token_file {
        // Read anew for each connection: whoever renews it is followed.
        Some(path) => builder.token_file(path),
        None => builder.token(hub::token(args)?),
    };
    if let Some(service) = service {
        builder = builder.service(service.as_str());
    }
    for prefix in prefixes {
        builder = builder.prefix(prefix.as_str());
    }
    builder.connect_telling(tell).await.map_err(|error| failed(&args.endpoint, error))
}

/// Where the hub is, and how it is verified.
pub(crate) fn builder(args: &HubArgs) -> Builder {
    let mut builder = Client::builder()
        .endpoint(&args.endpoint)
        .allow_plaintext(args.allow_plaintext)
        .connect_timeout(args.timeout);
    if let Some(path) = &args.trust.ca_file {
        builder = builder.ca_file(path);
    }
    if let Some(name) = &args.trust.server_name {
        builder = builder.server_name(name);
    }
    if let (Some(certificate), Some(key)) = (&args.client_cert, &args.client_key) {
        builder = builder.client_certificate_files(certificate, key);
    }
    builder
}

/// An SDK's error as one of ours.
pub(crate) fn failed(endpoint: &str, error: Error) -> CliError {
    match error {
        Error::Closed(reason) => CliError::Ended(reason),
        // A hub did answer: another token or some room is needed, and not another hub.
        Error::Timeout { last, kind: Some(kind), .. } if kind != FailureKind::Unreachable => {
            CliError::NoStream { endpoint: endpoint.to_owned(), kind, reason: last }
        }
        Error::Timeout { last, .. } | Error::Unreachable { last, .. } => {
            CliError::Unreachable { endpoint: endpoint.to_owned(), reason: last }
        }
        Error::Config(ConfigError::Endpoint { endpoint, reason, .. }) => {
            CliError::Endpoint { endpoint, reason }
        }
        error => CliError::Usage(error.to_string()),
    }
}

/// Why a client has ended.
pub(crate) fn ended(client: &Client) -> CliError {
    match client.status() {
        Status::Closed { reason, .. } => CliError::Ended(reason),
        _ => CliError::Ended(Closed::Runtime),
    }
}
