//! Pure: a link whose addresses are being probed.

use std::net::IpAddr;

use crds::{Mac, Reason};

use crate::podconfig::plan::Blocked;

/// A link that lacks addresses because they are being probed.
#[derive(Clone, Debug)]
pub struct PendingProbe {
    pub link: String,
    pub(super) unknown: Vec<IpAddr>,
    pub(super) in_use: Option<(IpAddr, [u8; 6])>,
}

impl PendingProbe {
    pub fn is_open(&self) -> bool {
        !self.unknown.is_empty()
    }

    /// Why the link is incomplete.
    pub(super) fn blocked(&self) -> Blocked {
        let (reason, message) = match self.in_use {
            Some((address, mac)) => {
                let message = format!(
                    "{address} is in use by {}, which is not a link of podconfig; it is probed again",
                    Mac(mac)
                );
                (Reason::AddressInUse, message)
            }
            None => (
                Reason::ClaimPending,
                "its addresses are being probed for conflicts on the wire".into(),
            ),
        };
        Blocked {
            link: self.link.clone(),
            reason,
            message,
        }
    }
}
