//! In place of TLS where the crate is built without it: no endpoint asks for it then.

use super::dialer::Io;
use super::tls::{Material, Tls};
use crate::ConfigError;
use std::io;

/// There is none.
#[derive(Clone)]
pub(super) enum Secured {}

impl Secured {
    pub(super) fn new(_: &Tls, _: &str, _: &Material) -> Result<Self, ConfigError> {
        let what = "https://".to_owned();
        Err(ConfigError::Tls { what, reason: "needs the cargo feature `tls` of confhub-client".to_owned() })
    }

    pub(super) async fn handshake(&self, _: Box<dyn Io>) -> io::Result<Box<dyn Io>> {
        match *self {}
    }
}
