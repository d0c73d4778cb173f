//! The gateway of every routed link, on its host end: link-local, so that it conflicts with no network.

use std::net::{Ipv4Addr, Ipv6Addr};

pub const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
