//! Settings: what there is to set, and where it is set.

mod settings;

pub use settings::{
    AuthSettings, JwksLocation, LimitSettings, LogFormat, LogSettings, Settings, TimeSettings,
};
