//! What is loaded: connections and streams, and the writes that reach them.

use crate::stamp;
use confhub_benches::Result;
use confhub_benches::input::Setting;
use confhub_benches::place::Place;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// Bytes that HTTP/2 puts in front of a frame (RFC 9113, 4.1).
pub(crate) const HTTP2_HEAD: usize = 9;

/// Connections, and the streams on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    pub(crate) streams_each: usize,
    /// Tenants among which the streams go round.
    pub(crate) tenants: usize,
}

impl Shape {
    pub(crate) fn streams(&self) -> usize {
        self.connections * self.streams_each
    }

    /// The tenants of a connection's streams.
    pub(crate) fn tenants_of(&self, connection: usize) -> impl Iterator<Item = usize> {
        let first = connection * self.streams_each;
        (first..first + self.streams_each).map(|stream| stream % self.tenants)
    }

    /// How many streams a tenant has.
    pub(crate) fn streams_of(&self, tenant: usize) -> usize {
        (self.streams() + self.tenants - 1 - tenant) / self.tenants
    }

    /// The same with fewer connections, and with no more tenants than streams.
    pub(crate) fn smaller(&self, by: usize) -> Self {
        let connections = (self.connections / by).max(1);
        Self { connections, tenants: self.tenants.min(connections * self.streams_each), ..*self }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tenants {
            1 => write!(f, "{} x {}", self.connections, self.streams_each),
            tenants => write!(f, "{tenants} tenants, {} x {}", self.connections, self.streams_each),
        }
    }
}

/// How a write looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Case {
    /// What a stream gets of one write, in bytes: for gRPC the message with its
    /// prefix, which is what one DATA frame of HTTP/2 holds. With [`HTTP2_HEAD`]
    /// it is what goes over the wire, of all peers.
    pub(crate) bytes: usize,
    /// Writes at once, each of another key.
    pub(crate) burst: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bytes {
            bytes if bytes % 1_024 == 0 => write!(f, "{} KB", bytes / 1_024)?,
            bytes => write!(f, "{bytes} B")?,
        }
        if self.burst > 1 { write!(f, " (bursts of {})", self.burst) } else { Ok(()) }
    }
}

/// A load that can be made, of any peer.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) shape: Shape,
    /// Keys of each tenant.
    pub(crate) settings: Vec<Setting>,
    /// Least time from one burst to the next.
    pub(crate) period: Duration,
    pub(crate) place: Place,
}

impl Plan {
    /// Whether the keys have values before the load: with one tenant, as it is in
    /// real life. To write to thousands of tenants first would take longer than
    /// the load, and changes nothing of it.
    pub(crate) fn is_seeded(&self) -> bool {
        self.shape.tenants == 1
    }
}

/// A key of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) tenant: usize,
    /// Where the key stands among those of the plan.
    pub(crate) slot: usize,
}

/// Which keys are written: those of one tenant in turn; of several tenants, any,
/// but the same in every run.
pub(crate) struct Targets {
    tenants: usize,
    keys: usize,
    next: usize,
    random: fastrand::Rng,
}

impl Targets {
    pub(crate) fn new(plan: &Plan) -> Self {
        let random = fastrand::Rng::with_seed(5);
        Self { tenants: plan.shape.tenants, keys: plan.settings.len(), next: 0, random }
    }

    /// The targets of a burst, all different.
    pub(crate) fn burst(&mut self, size: usize) -> Vec<Target> {
        let mut targets = Vec::with_capacity(size);
        while targets.len() < size.min(self.tenants * self.keys) {
            let target = self.one();
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        targets
    }

    fn one(&mut self) -> Target {
        if self.tenants > 1 {
            return Target {
                tenant: self.random.usize(..self.tenants),
                slot: self.random.usize(..self.keys),
            };
        }
        self.next += 1;
        Target { tenant: 0, slot: (self.next - 1) % self.keys }
    }
}

/// The size of a value with which a delivery has `bytes` bytes, where `framed`
/// tells the size of a delivery by that of its value.
///
/// # Errors
/// If what is around the value leaves too little of it.
pub(crate) fn fit(bytes: usize, framed: impl Fn(usize) -> usize) -> Result<usize> {
    let mut value = bytes;
    // Lengths of lengths move it by a byte or two: the second look is exact, and
    // a third one would only change sides where there is no exact answer.
    for _ in 0..2 {
        value = (bytes + value).saturating_sub(framed(value));
    }
    if value < stamp::LEAST {
        let least = framed(stamp::LEAST);
        return Err(format!("a delivery of {bytes} bytes is too small; this takes {least} or more").into());
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_belongs_to_one_tenant() {
        let shape = Shape { connections: 10, streams_each: 10, tenants: 7 };
        let mut streams = vec![0; 7];
        (0..10).flat_map(|connection| shape.tenants_of(connection)).for_each(|tenant| streams[tenant] += 1);
        assert_eq!(streams, (0..7).map(|tenant| shape.streams_of(tenant)).collect::<Vec<_>>());
        assert_eq!(streams.iter().sum::<usize>(), 100);
        assert_eq!(shape.smaller(5), Shape { connections: 2, ..shape });
        assert_eq!(shape.smaller(100), Shape { connections: 1, ..shape });
    }

    #[test]
    fn a_burst_writes_no_key_twice() {
        for (tenants, keys, size) in [(1, 64, 64), (100, 1, 16), (2, 2, 4)] {
            let mut targets = Targets { tenants, keys, next: 5, random: fastrand::Rng::with_seed(1) };
            let burst = targets.burst(size);
            assert_eq!(burst.len(), size);
            assert!(burst.iter().enumerate().all(|(at, target)| !burst[..at].contains(target)));
        }
    }

    #[test]
    fn a_value_fits_into_its_delivery() {
        let framed = |value: usize| value + 100 + usize::from(value > 127) + usize::from(value > 16_383);
        for bytes in [200, 228, 300, 4_096, 65_536] {
            let value = fit(bytes, framed).unwrap();
            assert!(framed(value).abs_diff(bytes) <= 1, "{bytes}: {value}");
        }
        assert_eq!(fit(300, framed).map(framed).unwrap(), 300);
        assert!(fit(110, framed).unwrap_err().to_string().contains("or more"));
    }
}
