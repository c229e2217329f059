//! Settings: what there is to set, where it is set, and what is wrong with it.
//!
//! Defaults < file < environment < flags: the later one wins. [`load`] puts them
//! together and reports all mistakes at once, each with its setting, its place,
//! its value and what was expected. One table (`table`) names the settings; the
//! file's keys, the variables, the flags, the help and `--print-config` all come
//! from it.

mod settings;

mod table;

mod flags;
mod load;

mod environment;
mod file;

mod checks;
mod form;
mod units;

mod error;
mod print;
mod source;

pub use error::{ConfigError, ConfigErrors};
pub use flags::ServeArgs;
pub use load::{Loaded, load};
pub use settings::{
    AuditSettings, AuditTo, AuthSettings, AwsSettings, ClientCertificates, FlagSettings, IssuerSettings,
    JwksLocation, LimitSettings, LogFormat, LogSettings, ParameterTier, Profile, Settings, StringLists,
    TimeSettings, TlsSettings, TokenUse, UnknownTenants, WithoutService,
};
pub use source::Source;
