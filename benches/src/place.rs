//! Where hub and load run: on a core each, so that neither takes from the other.

use crate::hub::{CallPace, Hub, Program};
use crate::{Result, process};
use clap::Args;
use std::path::PathBuf;

/// Options of every program that measures a hub.
#[derive(Debug, Default, Args)]
pub struct HubArgs {
    /// A `confhub` binary to measure. Default: the hub that this program was
    /// built with, in a process of its own.
    #[arg(long, value_name = "PATH")]
    hub: Option<PathBuf>,
    /// Run the built-in hub on one thread, to see what work stealing costs.
    #[arg(long, conflicts_with = "hub")]
    current_thread: bool,
    /// Let the system choose cores.
    #[arg(long)]
    no_pin: bool,
}

/// Where programs run.
#[derive(Debug, Clone)]
pub struct Place {
    /// How a hub is started.
    pub program: Program,
    cores: Option<(usize, usize)>,
}

impl HubArgs {
    /// Where a run takes place; this thread is on the core of the clients from now on.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn place(&self) -> Result<Place> {
        let program =
            self.hub.clone().map_or(Program::Itself { current_thread: self.current_thread }, Program::Binary);
        let cores = if self.no_pin { None } else { process::two_cores()? };
        let place = Place { program, cores };
        place.as_client()?;
        Ok(place)
    }
}

impl Place {
    /// A process that is started now stays on the server's core.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn as_server(&self) -> Result<()> {
        self.cores.map_or(Ok(()), |(server, _)| process::stay_on(server))
    }

    /// Back to the core of the subscribers.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn as_client(&self) -> Result<()> {
        self.cores.map_or(Ok(()), |(_, client)| process::stay_on(client))
    }

    /// Starts a hub on its core, and comes back.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn hub(&self, pace: CallPace) -> Result<Hub> {
        self.hub_with(pace, &[]).await
    }

    /// The same with settings of its own, by the names of their variables.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn hub_with(&self, pace: CallPace, settings: &[(&'static str, String)]) -> Result<Hub> {
        self.as_server()?;
        let hub = Hub::start_with(&self.program, pace, settings).await;
        self.as_client()?;
        hub
    }

    /// Ends a hub at once, and starts it again on its folder and port.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn restart(&self, hub: &mut Hub) -> Result<()> {
        self.as_server()?;
        let started = hub.restart().await;
        self.as_client()?;
        started
    }

    /// How hub and load share the machine, for the reader of the figures.
    #[must_use]
    pub fn describe(&self) -> String {
        self.cores.map_or_else(
            || "the system chose the cores of hub and load".to_owned(),
            |(server, client)| format!("the hub had core {server} for itself, the load core {client}"),
        )
    }
}
