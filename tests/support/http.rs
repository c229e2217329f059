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

/// What the HTTP port has answered.
#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answered {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        headers.find(|(its, _)| its.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Sends a request with these headers beside the least that there must be.
pub async fn http_send(
    address: SocketAddr,
    request: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<Answered> {
    let mut stream = TcpStream::connect(address).await?;
    let mut text = format!("{request} HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    // It may be answered, and closed, before all of it is read.
    let _ = stream.write_all(text.as_bytes()).await;
    let mut response = Vec::new();
    soon("an HTTP response", stream.read_to_end(&mut response)).await?;
    let response = String::from_utf8(response).map_err(|_| io::ErrorKind::InvalidData)?;
    let (head, body) = response.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or(io::ErrorKind::InvalidData)?;
    Ok(Answered { status, head: head.to_owned(), body: body.to_owned() })
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
