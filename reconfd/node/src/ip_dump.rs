//! Dumps of a namespace's IP tables: addresses, routes and rules.

use netlink_packet_route::AddressFamily;
use nix::errno::Errno;

use super::{
    links::{Route, address, route},
    netlink::{Error, Socket},
};

/// All addresses of the socket's namespace.
pub fn read_addresses(socket: &mut Socket) -> Result<Vec<address::PresentAddress>, Error> {
    socket.dump(
        "list addresses",
        &address::list(),
        |all: &mut Vec<_>, _, body| {
            all.extend(address::read(body));
        },
    )
}

/// Routes of ours in one family.
pub fn read_routes(socket: &mut Socket, family: AddressFamily) -> Result<Vec<(u32, Route)>, Error> {
    let found = socket.dump(
        "list routes",
        &route::list(family),
        |all: &mut Vec<_>, _, body| all.extend(route::read(body)),
    );
    no_such_family(found)
}

/// Routing rules of ours in one family.
pub fn read_rules(
    socket: &mut Socket,
    family: AddressFamily,
) -> Result<Vec<route::RoutingRule>, Error> {
    let found = socket.dump(
        "list rules",
        &route::list_rules(family),
        |all: &mut Vec<_>, _, body| all.extend(route::read_rule(body)),
    );
    no_such_family(found)
}

/// Empty if the kernel has no IPv6 or no rules.
pub fn no_such_family<T: Default>(found: Result<T, Error>) -> Result<T, Error> {
    match found {
        Err(Error {
            errno: Errno::EAFNOSUPPORT | Errno::EOPNOTSUPP | Errno::ENOENT,
            ..
        }) => Ok(T::default()),
        found => found,
    }
}
