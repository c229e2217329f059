//! Who asks, Parameter Store, Secrets Manager.

use super::calls::heard;
use super::report::{ACCOUNT, Finding, State};
use crate::aws::Account;
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType};

/// A tenant that is asked for so that nothing of a real one is read: rights are
/// given below the root, not at it.
const NOBODY: &str = "confhub-check";

/// Which account this is, and as whom.
pub(super) async fn caller(account: &Account) -> Finding {
    let region = account.config().region().map_or("unknown", |region| region.as_ref()).to_owned();
    let client = aws_sdk_sts::Client::new(account.config());
    match heard("sts:GetCallerIdentity", client.get_caller_identity().send().await) {
        Ok(who) => {
            let (id, arn) = (who.account.unwrap_or_default(), who.arn.unwrap_or_default());
            Finding::ok(ACCOUNT, format!("{id} in {region}, as {arn}"))
        }
        // Everybody may ask who they are: what is denied is who they are.
        Err(failed) if failed.state == State::Denied => Finding::new(
            ACCOUNT,
            State::Denied,
            format!("there are no credentials that AWS takes: {}", failed.said),
        ),
        Err(failed) => failed.finding(ACCOUNT, ""),
    }
}

/// Parameter Store below the root.
pub(super) async fn parameters(account: &Account, root: &str) -> Vec<Finding> {
    let client = aws_sdk_ssm::Client::new(account.config());
    let path = format!("/{root}/{NOBODY}");
    let read =
        client.get_parameters_by_path().path(path).recursive(true).with_decryption(false).max_results(1);
    let reads = match heard("ssm:GetParametersByPath", read.send().await) {
        Ok(_) => Finding::ok("parameters", format!("those below `/{root}/` may be read")),
        Err(failed) => failed.finding("parameters", ""),
    };
    let writes = "whether `ssm:PutParameter` and `ssm:DeleteParameter` are allowed, only a write can tell";
    vec![reads, Finding::not_checked("parameter writes", writes)]
}

/// Secrets Manager below the root.
pub(super) async fn secrets(account: &Account, root: &str, key: Option<&str>) -> Vec<Finding> {
    let client = aws_sdk_secretsmanager::Client::new(account.config());
    let prefix = format!("/{root}/{NOBODY}/");
    let filter = Filter::builder().key(FilterNameStringType::Name).values(prefix).build();
    let listed = client.list_secrets().filters(filter).max_results(1).send().await;
    let lists = match heard("secretsmanager:ListSecrets", listed) {
        Ok(_) => Finding::ok("secrets", "their names may be listed"),
        Err(failed) => failed.finding("secrets", ""),
    };
    let key = key.map_or("the account's default key".to_owned(), |key| format!("the key `{key}`"));
    let writes = format!("whether values may be read and written, with {key}, only doing it can tell");
    vec![lists, Finding::not_checked("secret values", writes)]
}
