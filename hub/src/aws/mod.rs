//! What the AWS stores and queues have in common: the account that they are in,
//! how an entry's place is spelled there, and what an error of AWS means.

#[cfg(feature = "aws")]
mod account;
#[cfg(feature = "aws")]
mod budget;
#[cfg(feature = "aws")]
mod error;
pub mod naming;
#[cfg(feature = "aws")]
mod odd;
#[cfg(feature = "aws")]
mod once;
#[cfg(feature = "aws")]
mod pulse;

#[cfg(feature = "aws")]
pub use account::{Account, AccountError};
#[cfg(feature = "aws")]
pub use budget::Budget;
#[cfg(feature = "aws")]
pub use error::{cause, said};
#[cfg(feature = "aws")]
pub use odd::OddNames;
#[cfg(feature = "aws")]
pub use once::once;
#[cfg(feature = "aws")]
pub use pulse::Pulse;
