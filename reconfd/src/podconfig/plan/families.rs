//! Pure: reduces a link for a kernel without IPv6.

use crds::Reason;
use ipnetwork::IpNetwork;
use node::links::Want;

use super::{Blocked, Cause};

/// Drops what a kernel without IPv6 would refuse, and says so; `None` if nothing is dropped.
pub fn leave_out_ipv6(want: &mut Want) -> Option<Blocked> {
    let link = &mut want.link;
    if !link.speaks_ipv6() {
        return None;
    }
    let of_ipv6 = link.addresses.iter().filter(|address| address.is_ipv6());
    let left_out: Vec<String> = of_ipv6.map(IpNetwork::to_string).collect();
    link.addresses.retain(IpNetwork::is_ipv4);
    link.routes.retain(|route| route.to.is_ipv4());
    link.slaac = false;
    let (reason, message) = why(&left_out);
    Some(Blocked {
        link: link.name.clone(),
        reason,
        message,
    })
}

fn why(left_out: &[String]) -> Cause {
    let what = match left_out {
        [] => "IPv6 routes and slaac are".into(),
        [one] => format!("{one} is"),
        more => format!("{} are", more.join(", ")),
    };
    let message = format!(
        "the node's kernel has no IPv6 (booted with ipv6.disable=1?): {what} left out of the link; \
         boot the node with IPv6, or ask for IPv4 alone"
    );
    (Reason::KernelRefused, message)
}
