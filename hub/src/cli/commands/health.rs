//! `health`: what a container asks to know whether the hub in it is well.

use crate::cli::args::TrustArgs;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{self, Out, Output, escaped};
use crate::{tls, url};
use bytes::Bytes;
use clap::Args;
use confhub_client::explain;
use http::{StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{ConfigBuilderExt as _, FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;

/// Longest wait for the whole answer: shorter than what containers are given for
/// a check, so that the reason is told before the check is ended.
const PATIENCE: Duration = Duration::from_secs(3);

/// Largest answer, in bytes; a hub's is a line.
const BODY_BYTES: usize = 64 * 1024;

/// Ask a hub's HTTP port whether it is ready
///
/// For the health check of a container, whose image has no other program to ask with. Waits at
/// most 3 seconds, and needs no token.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  confhub health
  confhub health --url http://127.0.0.1:7601/livez
  confhub health --url https://localhost:7601/readyz --ca-file ./tls/ca.pem
  HEALTHCHECK CMD [\"confhub\", \"health\"]     (in a Dockerfile)

Prints what the hub answers. Exit code 0 if that has status 200, 1 otherwise."
)]
pub(crate) struct Health {
    /// What to ask: /readyz says whether the hub takes streams, /livez whether it runs
    #[arg(
        long,
        env = "CONFHUB_HEALTH_URL",
        default_value = "http://127.0.0.1:7601/readyz",
        value_name = "URL"
    )]
    url: String,
    #[command(flatten)]
    trust: TrustArgs,
}

impl Health {
    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let refuse = |reason| CliError::Usage(format!("the address `{}` {reason}", url::shown(&self.url)));
        let uri = url::check(&self.url, true).map_err(refuse)?;
        let (status, body) = self.ask(uri).await.map_err(|reason| self.failed(&reason))?;
        let text = String::from_utf8_lossy(&body);
        let lines: Vec<_> = text.lines().map(escaped).collect();
        if !lines.is_empty() {
            output::write(out, lines.join("\n").as_bytes(), b"\n")?;
        }
        if status == StatusCode::OK {
            return Ok(Exit::Ok);
        }
        Output::Text.remark(&format!("{} answers {status}", self.url));
        Ok(Exit::Failure)
    }

    async fn ask(&self, uri: Uri) -> Result<(StatusCode, Bytes), String> {
        let answer = async {
            let builder = Client::builder(TokioExecutor::new());
            let answer = if uri.scheme_str() == Some("https") {
                builder.build::<_, Empty<Bytes>>(self.connector()?).get(uri).await
            } else {
                builder.build_http::<Empty<Bytes>>().get(uri).await
            };
            let answer = answer.map_err(|error| explain(&error))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), BODY_BYTES).collect().await;
            Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
        };
        let late = || Err(format!("no complete answer within {} s", PATIENCE.as_secs()));
        timeout(PATIENCE, answer).await.unwrap_or_else(|_| late())
    }

    fn connector(&self) -> Result<HttpsConnector<HttpConnector>, String> {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
        let builder = match &self.trust.ca_file {
            Some(path) => builder
                .with_root_certificates(tls::roots("--ca-file", path).map_err(|error| error.to_string())?),
            None => builder.with_native_roots().map_err(|error| format!("no roots to verify by: {error}"))?,
        };
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(builder.with_no_client_auth()).https_only();
        let Some(name) = &self.trust.server_name else {
            return Ok(connector.enable_http1().build());
        };
        let wrong = |error| format!("`{name}` (`--server-name`) is no name of a server: {error}");
        let name = ServerName::try_from(name.clone()).map_err(wrong)?;
        Ok(connector.with_server_name_resolver(FixedServerNameResolver::new(name)).enable_http1().build())
    }

    /// Whatever lies in the way, the hub is not well: a check knows one code for that.
    fn failed(&self, reason: &str) -> CliError {
        CliError::Failed(format!("no answer from {}: {reason}", self.url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Asks a server that says `answer` and, if it says nothing, holds the line.
    async fn asked(answer: &'static str) -> (Result<Exit, CliError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/readyz", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1_024]).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            if answer.is_empty() {
                std::future::pending::<()>().await;
            }
        });
        let mut out = Vec::new();
        let ended = Health { url, trust: TrustArgs::default() }.run(&mut out).await;
        server.abort();
        (ended, String::from_utf8(out).unwrap())
    }

    #[tokio::test]
    async fn the_answer_is_printed_and_its_status_is_the_exit_code() {
        let (ended, out) = asked("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n").await;
        assert_eq!((ended.unwrap(), out.as_str()), (Exit::Ok, "ok\n"));
        let (ended, out) = asked("HTTP/1.1 503 No\r\ncontent-length: 10\r\n\r\nnot \u{1b}ready").await;
        assert_eq!((ended.unwrap(), out.as_str()), (Exit::Failure, "not \\u{1b}ready\n"));
        let (ended, _) = asked("HTTP/1.1 302 Elsewhere\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(ended.unwrap(), Exit::Failure);
        for nonsense in ["garbage\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\nx"] {
            let error = asked(nonsense).await.0.unwrap_err();
            assert_eq!(error.exit(), Exit::Failure, "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hub_that_says_nothing_is_not_waited_for() {
        let error = asked("").await.0.unwrap_err();
        assert!(error.to_string().contains("within 3 s") && error.exit() == Exit::Failure, "{error}");
    }

    #[tokio::test]
    async fn nobody_there_is_a_failure_and_a_wrong_address_one_of_usage() {
        let ask = |url: &str| Health { url: url.to_owned(), trust: TrustArgs::default() };
        let error = ask("http://127.0.0.1:1/readyz").run(&mut Vec::new()).await.unwrap_err();
        assert!(error.exit() == Exit::Failure && error.to_string().contains("refused"), "{error}");
        for wrong in ["ftp://127.0.0.1/readyz", "127.0.0.1:7601", "http://u:p@127.0.0.1/"] {
            let error = ask(wrong).run(&mut Vec::new()).await.unwrap_err();
            assert!(error.exit() == Exit::Usage && !error.to_string().contains("u:p"), "{error}");
        }
    }
}
