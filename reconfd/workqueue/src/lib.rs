//! When to try again. Pure: no I/O and no clock, the time is an argument.

mod backoff;

pub use backoff::{Attempts, Backoff};
