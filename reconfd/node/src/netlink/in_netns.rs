//! Pure: messages about links of another network namespace than the socket's, by its nsid
//! (IFLA_TARGET_NETNSID).

use nix::libc::{IFLA_EXT_MASK, IFLA_TARGET_NETNSID, RTM_DELLINK, RTM_GETLINK};

use super::Body;

/// Without statistics.
const RTEXT_FILTER_SKIP_STATS: u32 = 8;
/// `struct ifinfomsg`.
const IFINFOMSG: usize = 16;

/// Request for one link.
pub fn get_link(nsid: i32, index: u32) -> Body {
    Body::Raw(RTM_GETLINK, message(nsid, index))
}

/// Dump request for all links.
pub fn list_links(nsid: i32) -> Body {
    let mut body = message(nsid, 0);
    let mask = RTEXT_FILTER_SKIP_STATS.to_ne_bytes();
    attribute(&mut body, IFLA_EXT_MASK, mask);
    Body::Raw(RTM_GETLINK, body)
}

pub fn delete_link(nsid: i32, index: u32) -> Body {
    Body::Raw(RTM_DELLINK, message(nsid, index))
}

fn message(nsid: i32, index: u32) -> Vec<u8> {
    let mut body = vec![0; IFINFOMSG];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    attribute(&mut body, IFLA_TARGET_NETNSID, nsid.to_ne_bytes());
    body
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: [u8; 4]) {
    body.extend(8u16.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
}
