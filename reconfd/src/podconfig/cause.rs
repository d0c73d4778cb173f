//! Why a link is not as desired.

use crds::Reason;

/// A reason, and the message that explains it.
pub type Cause = (Reason, String);
