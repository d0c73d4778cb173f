//! Links that other programs make in a pod: read, named back, deleted. Through a socket of the pod's own namespace, so
//! that nothing of the node can be hit.

use std::collections::HashMap;

use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;
use rtnetlink::LinkUnspec;
use sandbox_record::netns::Netns;

use super::{
    ip_dump::read_addresses,
    link_info::LinkInfo,
    links::{address::PresentAddress, device},
    netlink::{Changes, Error, Request, Socket},
    watched_netns::read_links,
};

/// Default routes.
mod default_routes;
pub use default_routes::DefaultRoute;

/// A pod's namespace, for links that are not podconfig's.
pub struct AttachedLinks {
    socket: Socket,
}

impl AttachedLinks {
    /// A short-lived thread enters the namespace and opens the socket there.
    pub fn open(netns: &Netns) -> Result<Self, Error> {
        let op = "open a netlink socket in the pod";
        let opened = netns.enter(|| Socket::open(&Changes::default()));
        let opened = opened.map_err(|error| {
            let errno = error.kind.transient().unwrap_or(Errno::EIO);
            Error::new(
                "enter the pod's network namespace",
                errno,
                error.to_string(),
            )
        })?;
        let socket = opened.map_err(|error| Error::io(op, &error))?;
        Ok(Self { socket })
    }

    /// By ifindex.
    pub fn links(&mut self) -> Result<HashMap<u32, LinkInfo>, Error> {
        read_links(&mut self.socket)
    }

    pub fn addresses(&mut self) -> Result<Vec<PresentAddress>, Error> {
        read_addresses(&mut self.socket)
    }

    /// Gives a link another name. The kernel renames no link of that name, and before Linux 6.2 none that is up.
    pub fn rename(&mut self, index: u32, name: &str) -> Result<(), Error> {
        let link = LinkUnspec::new_with_index(index).name(name.to_owned());
        let op = format!("rename link {index} to {name}");
        let message = RouteNetlinkMessage::SetLink(link.build());
        self.socket.change(Request::new(op, 0, message))
    }

    pub fn delete(&mut self, index: u32, name: &str) -> Result<(), Error> {
        self.socket.change(device::delete(name, index))
    }
}
