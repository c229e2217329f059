//! A command that prints a token.

use super::answer::{issued, words};
use super::{DynTokenSource, Issued, TokenError};
use crate::limits;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, try_join};
use serde_json::Value;
use std::ffi::OsString;
use std::process::Stdio;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

/// What JSON may call the token, most wanted first.
const FIELDS: [&str; 3] = ["token", "access_token", "id_token"];

/// Run for each request, with no shell and no input. It is killed when it takes too
/// long, when it says too much, and when nobody waits for it any more.
pub(super) struct TokenCommand {
    pub(super) program: OsString,
    pub(super) args: Vec<OsString>,
}

impl DynTokenSource for TokenCommand {
    fn dyn_token(&self, _: bool) -> BoxFuture<'_, Result<Issued, TokenError>> {
        let named = move |reason: String| {
            TokenError::new(format!("the token command `{}` {reason}", self.program.to_string_lossy()))
        };
        async move { self.run().await.map_err(named) }.boxed()
    }
}

impl TokenCommand {
    async fn run(&self) -> Result<Issued, String> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let spawned = command.kill_on_drop(true).spawn();
        let mut child = spawned.map_err(|error| format!("cannot be run: {error}"))?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err("has no output".to_owned());
        };
        let said = async {
            let said = read(stdout, limits::TOKEN_OUTPUT_BYTES).await?;
            let most = limits::TOKEN_OUTPUT_BYTES;
            (said.len() <= most).then_some(said).ok_or(format!("prints more than {most} bytes"))
        };
        // What is too much of it is read all the same, so that it does not block.
        let complained = async {
            let mut stderr = stderr;
            let complained = read(&mut stderr, limits::TOKEN_OUTPUT_BYTES).await?;
            let mut sink = tokio::io::sink();
            tokio::io::copy(&mut stderr, &mut sink).await.map_err(|error| error.to_string())?;
            Ok(complained)
        };
        let (said, complained) = try_join(said, complained).await?;
        let status = child.wait().await.map_err(|error| format!("cannot be waited for: {error}"))?;
        let said = String::from_utf8_lossy(&said);
        let said = said.trim();
        if !status.success() {
            let complained = words(&String::from_utf8_lossy(&complained), &[said]);
            return Err(match complained.is_empty() {
                true => format!("failed: {status}"),
                false => format!("failed: {status}: {complained}"),
            });
        }
        parse(said)
    }
}

/// Up to a byte more than `most`.
async fn read(from: impl AsyncRead + Unpin, most: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let most = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let read = from.take(most).read_to_end(&mut bytes).await;
    read.map(|_| bytes).map_err(|error| format!("cannot be read: {error}"))
}

/// The token as such, or JSON with it. No token begins with a brace.
fn parse(said: &str) -> Result<Issued, String> {
    if said.is_empty() {
        return Err("printed nothing".to_owned());
    }
    if !said.starts_with('{') {
        return Ok(Issued::new(said.to_owned()));
    }
    // The parser's own words could repeat what it read.
    let answer: Option<Value> = serde_json::from_str(said).ok();
    answer.and_then(|answer| issued(&answer, &FIELDS)).ok_or(format!(
        "printed neither a token nor JSON with one: expected is `{}`, `{}` or `{}`",
        FIELDS[0], FIELDS[1], FIELDS[2]
    ))
}
