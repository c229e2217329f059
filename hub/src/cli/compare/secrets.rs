//! Values of secrets, asked for to compare them and kept no longer.

use crate::cli::document::Address;
use crate::cli::error::CliError;
use crate::cli::hub::Hub;
use confhub_proto::{Bytes, wire};
use std::collections::BTreeMap;

/// The values of the secrets at `addresses`, as far as the caller may see them.
pub(super) async fn reveal(hub: &Hub, addresses: Vec<Address>) -> Result<BTreeMap<Address, Bytes>, CliError> {
    let mut values = BTreeMap::new();
    for address in addresses {
        let request = wire::RevealRequest { key: address.key.to_string(), service: address.wire_service() };
        let answer = hub.call("reveal a secret to compare it", hub.config().reveal(request)).await;
        match answer {
            Ok(response) => {
                // A token for one service is shown that service's entry, whatever is asked for.
                let entry = response.entry.filter(|entry| entry.service == address.wire_service());
                if let Some(entry) = entry {
                    values.insert(address, entry.value);
                }
            }
            // Without the right, none can be compared; deleted meanwhile, there is nothing to compare.
            Err(CliError::Hub { status, .. }) if status.code() == tonic::Code::PermissionDenied => break,
            // The same for a token of one service whose own, plain entry hides the shared secret.
            Err(CliError::Hub { status, .. })
                if matches!(status.code(), tonic::Code::NotFound | tonic::Code::FailedPrecondition) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(values)
}
