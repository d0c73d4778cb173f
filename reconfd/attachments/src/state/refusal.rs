//! What the rules of today say against a stored result.

use serde_json::Value;

use crate::status::Failure;

/// Why what is attached may not stay.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The result that is meant: the slot may have another one by now.
    pub result: Option<Value>,
    pub failure: Failure,
    /// Whether the next result will hardly be allowed before the rules change.
    pub is_lasting: bool,
}
