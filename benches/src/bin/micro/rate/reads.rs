//! Reads on a thread of its own, in CPU time: on a machine with fewer cores than
//! threads, waiting for a core is no part of what a read costs.

use super::stamp::Stamp;
use confhub_benches::{Result, process};
use confhub_client::{Client, Typed};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// What reads cost, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reads {
    /// `Client::get`.
    pub(crate) get: f64,
    /// `Typed::load`.
    pub(crate) load: f64,
}

/// Reads until it is told to stop.
pub(crate) struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Reads>>,
}

impl Reader {
    /// Starts to read these keys in turn, and one handle.
    pub(crate) fn start(client: &Client, keys: &Arc<Vec<String>>, handle: &Typed<Stamp>) -> Self {
        let (client, keys, handle) = (client.clone(), Arc::clone(keys), handle.clone());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || read(&client, &keys, &handle, &stopped));
        Self { stop, thread }
    }

    pub(crate) fn stop(self) -> Result<Reads> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the reader panicked")?
    }
}

fn read(client: &Client, keys: &[String], handle: &Typed<Stamp>, stop: &AtomicBool) -> Result<Reads> {
    let (mut get, mut load, mut rounds) = (0.0, 0.0, 0_u32);
    while rounds == 0 || !stop.load(Ordering::Relaxed) {
        let began = process::thread_cpu_time()?;
        for key in keys {
            black_box(client.get(key));
        }
        let between = process::thread_cpu_time()?;
        for _ in keys {
            black_box(handle.load());
        }
        get += (between - began).as_secs_f64();
        load += (process::thread_cpu_time()? - between).as_secs_f64();
        rounds += 1;
    }
    let reads = f64::from(rounds) * f64::from(u32::try_from(keys.len())?);
    Ok(Reads { get: get * 1e9 / reads, load: load * 1e9 / reads })
}
