//! What a hub counts of itself, read over HTTP.

use crate::Result;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What a hub had counted at one moment.
#[derive(Debug, Clone)]
pub struct Counts(String);

impl Counts {
    /// Asks a hub at its HTTP port.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn of(http: SocketAddr) -> Result<Self> {
        let mut tcp = TcpStream::connect(http).await?;
        tcp.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
        let mut text = String::new();
        tcp.read_to_string(&mut text).await?;
        Ok(Self(text))
    }

    /// The sum of all series of a name that have all of these labels.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let value = |line: &str| {
            let rest = line.strip_prefix(name)?;
            let of_it = rest.starts_with(['{', ' ']) && labels.iter().all(|label| rest.contains(label));
            of_it.then(|| rest.rsplit(' ').next()?.parse::<f64>().ok()).flatten()
        };
        self.0.lines().filter_map(value).sum()
    }

    /// Reads of backends for a purpose, whatever their outcome.
    #[must_use]
    pub fn reads(&self, purpose: &str) -> f64 {
        self.sum("confhub_backend_reads_total", &[&format!("purpose=\"{purpose}\"")])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_one_name_are_added_up() {
        let counts =
            Counts("reads_total{a=\"x\",b=\"1\"} 2\nreads_total{a=\"y\",b=\"1\"} 3\nreads 9\n".to_owned());
        assert_eq!(counts.sum("reads_total", &["b=\"1\""]), 5.0);
        assert_eq!(counts.sum("reads_total", &["a=\"x\""]), 2.0);
        assert_eq!(counts.sum("reads", &[]), 9.0);
    }
}
