//! What the AWS stores and queues have in common: the account that they are in,
//! how an entry's place is spelled there, and what an error of AWS means.

mod account;
mod budget;
mod error;
pub mod naming;
mod pulse;

pub use account::{Account, AccountError};
pub use budget::Budget;
pub use error::{cause, said};
pub use pulse::Pulse;
