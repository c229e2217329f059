//! Feature flags in flagd's terms: how they are kept as entries, what is a good
//! definition, and how one is evaluated.
//!
//! A flag is one entry: its key is made of the flag's name ([`FlagName`]), its
//! value is a flagd flag definition. What a flagd file says beside its flags is
//! one entry more. A [`Document`] is a whole file, and splits into such entries and
//! joins again without loss.
//!
//! # What it is not
//!
//! There is no I/O here, no clock and no randomness. It neither fetches flags nor
//! tells of changes: that is the client's part.

mod check;
mod context;
mod definition;
mod document;
mod error;
mod explain;
mod flag;
mod json;
pub mod limits;
mod logic;
mod name;
mod percentage;
mod rule;
mod served;
mod set;
mod slot;
mod text;
mod value;

pub use check::{check_common, check_document, check_flag};
pub use context::{Context, ContextError};
pub use definition::{Common, Definition, FlagState};
pub use document::Document;
pub use error::{Fault, Faults};
pub use explain::{Explanation, Step};
pub use flag::Flag;
pub use logic::HashVersion;
pub use name::{FlagName, FlagNameError};
pub use percentage::{Percentage, PercentageError, has_more_than, set_percentage, set_percentage_of_text};
pub use rule::Rule;
pub use served::{News, Served, TooLarge};
pub use set::{Applied, Change, FlagSet};
pub use slot::{FLAG_TYPE, SET_KEY, SET_TYPE, Slot, SlotError};
pub use text::DefinitionText;
pub use value::{Details, ErrorCode, EvaluationError, FlagValue, FromFlag, Metadata, Reason};
