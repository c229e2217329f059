//! The hub's HTTP port, asked by hand.

use super::{Hub, soon};
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The status and the body of `path`.
pub async fn http_get(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    soon("an HTTP response", stream.read_to_string(&mut response)).await?;
    let (head, body) = response.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or(io::ErrorKind::InvalidData)?, body.to_owned()))
}

impl Hub {
    /// The sum of all series of `/metrics` whose name is `name` and whose labels
    /// have all of these.
    pub async fn metrics(&self, name: &str, labels: &[&str]) -> f64 {
        let (_, text) = http_get(self.addresses.http, "/metrics").await.unwrap();
        let wanted = |line: &&str| {
            let (series, _) = line.split_once(' ').unwrap_or_default();
            let (its_name, its_labels) = series.split_once('{').unwrap_or((series, ""));
            its_name == name && labels.iter().all(|label| its_labels.contains(label))
        };
        text.lines().filter(wanted).map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// The value of a metric without labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let (status, text) = http_get(self.addresses.http, "/metrics").await.unwrap();
        assert_eq!(status, 200);
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no `{name}` in {text}")).parse().unwrap()
    }

    /// Waits until the sum of such series is as wanted.
    #[cfg(feature = "aws")]
    pub async fn until_metrics(&self, name: &str, labels: &[&str], wanted: impl Fn(f64) -> bool) {
        let reached = async {
            let mut looks = tokio::time::interval(std::time::Duration::from_millis(10));
            while !wanted(self.metrics(name, labels).await) {
                looks.tick().await;
            }
        };
        soon(name, reached).await;
    }

    /// What `/readyz` answers: status and words.
    #[cfg(feature = "aws")]
    pub async fn readyz(&self) -> (u16, String) {
        http_get(self.addresses.http, "/readyz").await.unwrap()
    }

    /// Waits until the change source receives.
    #[cfg(feature = "aws")]
    pub async fn until_source_is_up(&self) {
        self.until_metric("confhub_source_up", |up| up > 0.0).await;
    }

    /// Waits until a metric is as wanted.
    pub async fn until_metric(&self, name: &str, wanted: impl Fn(f64) -> bool) {
        let reached = async {
            let mut looks = tokio::time::interval(std::time::Duration::from_millis(10));
            while !wanted(self.metric(name).await) {
                looks.tick().await;
            }
        };
        soon(name, reached).await;
    }
}
