//! Pure: address pools of other allocators: Antrea, MetalLB, whereabouts.

use std::net::IpAddr;

use crds::reserved::Usage;
use ipnetwork::IpNetwork;

use super::{Extractor, extract::network, field::Field};

pub fn antrea(object: &Field<'_>, out: &mut Extractor) {
    for range in out.list(&object.at("spec.ipRanges")) {
        out.network(Usage::Pool, &range.at("cidr"));
        out.span(Usage::Pool, &range.at("start"), &range.at("end"));
    }
}

pub fn metallb(object: &Field<'_>, out: &mut Extractor) {
    out.networks(Usage::Pool, &object.at("spec.addresses"));
}

/// The range, and the addresses in use: those are taken even where a policy exempts the range.
pub fn whereabouts(object: &Field<'_>, out: &mut Extractor) {
    let range = object.at("spec.range");
    out.network(Usage::Pool, &range);
    let Some(first) = range.text().and_then(|text| network(text).ok()) else {
        return;
    };
    for (offset, allocation) in object.at("spec.allocations").entries() {
        match nth(first, offset) {
            Some(address) => out.add(out.source, Usage::Address, &allocation, address),
            None => out.error(
                &allocation,
                &format!("{offset:?} is not an offset in {first}"),
            ),
        }
    }
}

fn nth(network: IpNetwork, offset: &str) -> Option<IpNetwork> {
    let offset: u128 = offset.parse().ok()?;
    let address = match network.network() {
        IpAddr::V4(first) => {
            let number = first.to_bits().checked_add(offset.try_into().ok()?)?;
            IpAddr::V4(number.into())
        }
        IpAddr::V6(first) => IpAddr::V6(first.to_bits().checked_add(offset)?.into()),
    };
    network.contains(address).then(|| address.into())
}

pub fn whereabouts_slices(object: &Field<'_>, out: &mut Extractor) {
    out.network(Usage::Pool, &object.at("spec.range"));
}

/// The name contains the address, with dashes for colons, possibly after the name of a network. Where that name could
/// be a part of the address, both readings count.
pub fn whereabouts_reservation(object: &Field<'_>, out: &mut Extractor) {
    let field = object.at("metadata.name");
    let name = field.text().unwrap_or_default();
    let starts = name.match_indices('-').map(|(at, _)| at + 1);
    let endings = std::iter::once(0)
        .chain(starts)
        .filter_map(|at| name.get(at..));
    let addresses = endings.filter_map(address).collect::<Vec<_>>();
    if addresses.is_empty() {
        out.error(&field, &format!("{name:?} does not end in an address"));
    }
    for address in addresses {
        out.add(out.source, Usage::Address, &field, address.into());
    }
}

fn address(text: &str) -> Option<IpAddr> {
    let colons = || text.replace('-', ":");
    match text.contains('.') {
        true => text.parse().ok(),
        // A suffix that starts in the middle of `::` is not the start of the address.
        false if text.starts_with('-') && !text.starts_with("--") => None,
        false => colons().parse().ok(),
    }
}
