//! The SDK as the commands use it: a client with the arguments of a command.

use super::args::HubArgs;
use super::error::CliError;
use super::hub;
use confhub_client::{Client, Closed, Error, Status};
use confhub_proto::{Prefix, ServiceName};

/// Connects and waits for the first state.
pub(crate) async fn connect(
    args: &HubArgs,
    service: Option<&ServiceName>,
    prefixes: &[Prefix],
) -> Result<Client, CliError> {
    let mut builder = Client::builder()
        .endpoint(&args.endpoint)
        .allow_plaintext(args.allow_plaintext)
        .connect_timeout(args.timeout)
        .instance("confhub-cli");
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
    builder.connect().await.map_err(|error| failed(&args.endpoint, error))
}

/// An SDK's error as one of ours.
pub(crate) fn failed(endpoint: &str, error: Error) -> CliError {
    match error {
        Error::Closed(reason) => CliError::Ended(reason),
        Error::Timeout { last, .. } => CliError::Unreachable { endpoint: endpoint.to_owned(), reason: last },
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
