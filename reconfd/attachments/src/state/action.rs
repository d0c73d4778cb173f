//! What a slot needs.

use crate::entry::Why;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Whether the changed chain can run, before links that are made on this one are deleted for it.
    Probe,
    Delete(Why),
    /// Deletes what the rules of today do not allow.
    Withdraw,
    Change(Why),
    Attach,
    Judge,
    Adopt,
    Check,
    /// Deletes what Multus attached.
    TakeOver,
    /// Drops the entry of that.
    Forget,
}
