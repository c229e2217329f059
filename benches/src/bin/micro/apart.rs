//! A thread with a runtime of its own, so that what runs there is measured alone.

use confhub_benches::{Result, process};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Ends with the last of what it runs, once this is dropped.
pub(crate) struct Apart {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Apart {
    /// Starts the thread.
    pub(crate) fn start(name: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let serve = move || drop(runtime.block_on(stopped));
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(serve)?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }

    /// Runs `work` there.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T> {
        Ok(self.handle.spawn(work).await?)
    }

    /// Runs `work` there, and does not wait for it.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(work);
    }

    /// CPU time that the thread has used: what runs there, and what the kernel does
    /// for it.
    pub(crate) async fn cpu_time(&self) -> Result<Duration> {
        self.run(async { process::thread_cpu_time() }).await?
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        drop(self.stop.take());
        // What it said when it panicked is on standard error already.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
