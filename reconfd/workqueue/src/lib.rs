//! When to work on what, and when to try again. Pure: no I/O and no clock, the time is an argument.

mod backoff;
mod queue;

pub use backoff::{Attempts, Backoff};
pub use queue::{Outcome, WorkQueue};
