//! Certificates for a hub, and a TLS client that shares no code with ours.

use super::{Hub, soon};
use confhub::config::Settings;
use confhub::tls::{DevCa, DevCertificate};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A CA, and a folder with what a hub and its clients are given.
pub struct Certificates {
    pub ca: DevCa,
    pub folder: TempDir,
    /// The name that its handshakes ask for.
    name: String,
}

impl Certificates {
    /// A CA, and a certificate for this machine.
    pub fn new() -> Self {
        Self::of(&["localhost", "127.0.0.1"])
    }

    /// A CA, and a certificate for these names.
    pub fn of(names: &[&str]) -> Self {
        let (ca, folder) = (DevCa::new(SystemTime::now()).unwrap(), tempfile::tempdir().unwrap());
        let new = Self { ca, folder, name: names[0].to_owned() };
        new.install(&new.ca.server(names).unwrap());
        new.write("ca.pem", new.ca.pem());
        new
    }

    /// A certificate for this machine, as the hub's files.
    pub fn install(&self, certificate: &DevCertificate) {
        self.write("server.key", &certificate.key);
        self.write("server.pem", &certificate.certificate);
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same as an argument.
    pub fn arg(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Has a hub use them, and look at them often.
    pub fn configure(&self, settings: &mut Settings) {
        settings.tls.certificate = Some(self.path("server.pem"));
        settings.tls.key = Some(self.path("server.key"));
        settings.tls.reload = Duration::from_millis(100);
    }

    /// A handshake of a client that trusts this CA.
    pub async fn handshake(
        &self,
        address: SocketAddr,
        alpn: &[&str],
        identity: Option<&DevCertificate>,
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.unwrap().with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(self.name.clone()).unwrap();
        soon("a handshake", TlsConnector::from(Arc::new(config)).connect(name, stream)).await
    }

    /// The certificate that new connections to the gRPC port get.
    pub async fn shown(&self, hub: &Hub) -> CertificateDer<'static> {
        self.try_shown(hub).await.unwrap()
    }

    async fn try_shown(&self, hub: &Hub) -> io::Result<CertificateDer<'static>> {
        let stream = self.handshake(hub.addresses.grpc, &["h2"], None).await?;
        Ok(stream.get_ref().1.peer_certificates().unwrap().first().unwrap().clone().into_owned())
    }

    /// Waits until new connections get this certificate.
    pub async fn until_shown(&self, hub: &Hub, certificate: &DevCertificate) {
        let wanted = CertificateDer::from_pem_slice(certificate.certificate.as_bytes()).unwrap();
        soon("the new certificate", async {
            let mut looks = tokio::time::interval(Duration::from_millis(20));
            while self.try_shown(hub).await.ok().as_ref() != Some(&wanted) {
                looks.tick().await;
            }
        })
        .await;
    }

    /// The value of a series of `/metrics`, by its whole name with labels.
    pub async fn metric(&self, hub: &Hub, series: &str) -> f64 {
        let mut stream = self.handshake(hub.addresses.http, &["http/1.1"], None).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        soon("the metrics", stream.read_to_string(&mut text)).await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no `{series}` in {text}")).trim().parse().unwrap()
    }

    /// Waits until a series is as wanted.
    pub async fn until_metric(&self, hub: &Hub, series: &str, wanted: impl Fn(f64) -> bool) {
        soon(series, async {
            let mut looks = tokio::time::interval(Duration::from_millis(20));
            while !wanted(self.metric(hub, series).await) {
                looks.tick().await;
            }
        })
        .await;
    }
}
