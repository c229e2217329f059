//! `dev-certificate`: what TLS needs, for trying it out.

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::tls::DevCa;
use clap::Args;
use serde::Serialize;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tokio_rustls::rustls::pki_types::ServerName;

/// Most names of one certificate: as many as public CAs take.
const NAMES: usize = 100;

/// Make a CA and certificates to try TLS with
///
/// For development only: the certificates are valid for 30 days, and the key of the CA is thrown
/// away, so that it signs nothing else. Files that exist are left alone.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  confhub dev-certificate --dir ./tls
  confhub serve --tls-certificate ./tls/server.pem --tls-key ./tls/server.key
  confhub status --endpoint https://localhost:7600 --ca-file ./tls/ca.pem
  confhub dev-certificate --dir ./tls --name hub.internal --name 10.0.0.7

Writes ca.pem, server.pem, server.key, client.pem and client.key; the keys are readable for their
owner alone. With `serve --tls-client-ca ./tls/ca.pem` clients need --client-cert ./tls/client.pem
and --client-key ./tls/client.key.
JSON: {\"dir\", \"names\", \"files\"}."
)]
pub(crate) struct DevCertificate {
    /// The folder to write to; it is made if it is not there
    #[arg(long, default_value = "tls", value_name = "DIR")]
    dir: PathBuf,
    /// A name or address under which the hub is reached; may be repeated
    #[arg(long, default_values = ["localhost", "127.0.0.1", "::1"], value_name = "NAME")]
    name: Vec<String>,
    /// How to print
    #[arg(long, env = "CONFHUB_OUTPUT", value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
    pub(crate) output: Output,
}

#[derive(Serialize)]
struct Json<'a> {
    dir: &'a Path,
    names: &'a [String],
    files: Vec<&'static str>,
}

impl DevCertificate {
    pub(crate) fn run(self) -> Result<Exit, CliError> {
        if self.name.len() > NAMES {
            return Err(CliError::Usage(format!("{} names; at most {NAMES} are allowed", self.name.len())));
        }
        let names: Vec<_> = self.name.iter().map(String::as_str).collect();
        if let Some(bad) = names.iter().find(|name| ServerName::try_from(**name).is_err()) {
            let wanted = "a host name like `hub.internal`, or an IP address";
            return Err(CliError::Usage(format!("--name `{}` is not {wanted}", bad.escape_debug())));
        }
        let failed = |error: crate::tls::DevCertificateError| CliError::Usage(error.to_string());
        let ca = DevCa::new(SystemTime::now()).map_err(failed)?;
        let (server, client) = (ca.server(&names).map_err(failed)?, ca.client().map_err(failed)?);
        let files = [
            ("ca.pem", ca.pem(), 0o644),
            ("server.pem", &server.certificate, 0o644),
            ("server.key", &server.key, 0o600),
            ("client.pem", &client.certificate, 0o644),
            ("client.key", &client.key, 0o600),
        ];
        std::fs::create_dir_all(&self.dir).map_err(CliError::file("make", &self.dir))?;
        // All or none: what is there may be in use, and half of a pair fits nothing.
        if let Some(path) = files.iter().map(|(name, ..)| self.dir.join(name)).find(|path| path.exists()) {
            let reason = "exists already: remove the old files, or name another --dir";
            return Err(CliError::Failed(format!("`{}` {reason}", path.display())));
        }
        for (name, text, mode) in files {
            let path = self.dir.join(name);
            let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
            file.and_then(|mut file| file.write_all(text.as_bytes()))
                .map_err(CliError::file("write", &path))?;
        }
        let files = files.map(|(name, ..)| name).to_vec();
        let json = Json { dir: &self.dir, names: &self.name, files };
        self.output.print(&mut std::io::stdout(), &json, || {
            format!("{} in {}", json.files.join(", "), self.dir.display())
        })?;
        self.output.remark("For development: valid for 30 days; the CA's key is thrown away.");
        Ok(Exit::Ok)
    }
}
