use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::links::{HostEnd, LinkKind, Veth};

fn link(addresses: &[&str]) -> Link {
    let addresses = addresses.iter().map(|text| text.parse().unwrap());
    Link {
        name: "data0".into(),
        kind: LinkKind::Veth(Veth {
            host_end: HostEnd::Routed,
            learning: false,
        }),
        mtu: None,
        mac: None,
        addresses: addresses.collect(),
        routes: BTreeSet::new(),
        slaac: false,
    }
}

fn derived(addresses: &[&str], domain: Option<&str>) -> Derived {
    Derived::of(&link(addresses), ("shop", "till-0"), domain)
}

const MAC: Mac = [0x0a, 0x58, 10, 9, 0, 5];

#[test]
fn the_first_ipv4_address_gives_it_and_is_read_from_it() {
    let mac = derived(&["fd09::5/64", "10.9.0.5/24", "10.9.0.6/24"], None).first();
    assert_eq!(mac, MAC);
    assert_eq!(address_of(mac), Some(Ipv4Addr::new(10, 9, 0, 5)));
    assert_eq!(address_of([0x0a, 0x59, 10, 9, 0, 5]), None);
}

#[test]
fn it_stays_as_long_as_its_address_does() {
    let both = derived(&["10.9.0.6/24", "10.9.0.5/24"], None);
    assert_eq!(both.after(MAC), MAC, "another order changes nothing");
    let other = derived(&["10.9.0.6/24"], None);
    assert_eq!(other.after(MAC), [0x0a, 0x58, 10, 9, 0, 6]);
    let none = derived(&[], None);
    assert_eq!(none.after(MAC), none.of_link);
    assert_eq!(
        both.after(none.of_link),
        none.of_link,
        "the link's own stays"
    );
}

/// Every version must come to the same ones, or each upgrade would be a change on every wire.
#[test]
fn they_never_change() {
    let v6 = derived(&["fd09::5/64"], None).first();
    assert_eq!(
        v6,
        ownership_mark::hashed_mac(&[&"fd09::5".parse::<Ipv6Addr>().unwrap().octets()])
    );
    let own = derived(&[], None).first();
    assert_eq!(
        own,
        ownership_mark::hashed_mac(&[b"shop", b"till-0", b"data0"])
    );
}

#[test]
fn the_kernels_own_addresses_of_a_mac_address_are_known() {
    assert_eq!(
        link_local([0x0a, 0x58, 0x0a, 0x09, 0, 5]).to_string(),
        "fe80::858:aff:fe09:5"
    );
    let made = |text: &str| is_made_of(text.parse().unwrap(), MAC);
    assert!(made("fe80::858:aff:fe09:5/64") && made("2001:db8::858:aff:fe09:5/64"));
    assert!(!made("fe80::858:aff:fe09:6/64") && !made("10.9.0.5/24"));
}

proptest! {
    /// A hash is never an IPv4 address's, whoever chose what is hashed.
    #[test]
    fn what_is_hashed_is_no_ipv4_addresss(parts in prop::collection::vec(any::<u8>(), 0..40)) {
        prop_assert_eq!(address_of(hashed(&[&parts])), None);
    }

    /// Links that get and lose addresses in any order, each held by one at a time: no two have the same MAC
    /// address at any time, and none has one of an address that it does not hold.
    #[test]
    fn no_two_links_have_the_same(
        moves in prop::collection::vec((0..4_usize, 0..6_u8, any::<bool>(), any::<bool>()), 1..60),
    ) {
        let mut holders: BTreeMap<(bool, u8), usize> = BTreeMap::new();
        let mut macs: Vec<Mac> = Vec::new();
        let names = ["a", "b", "c", "d"];
        let of = |who: usize, holders: &BTreeMap<(bool, u8), usize>| {
            let own = holders.iter().filter(|(_, holder)| **holder == who);
            let own = own.map(|((is_v6, n), _)| match is_v6 {
                true => format!("fd09::{n}/64"),
                false => format!("10.9.0.{n}/24"),
            });
            let own: Vec<String> = own.collect();
            let own: Vec<&str> = own.iter().map(String::as_str).collect();
            // Two of them in a domain of their own.
            let domain = (who >= 2).then_some("lab");
            Derived::of(&link(&own), ("shop", names[who]), domain)
        };
        macs.extend((0..4).map(|who| of(who, &holders).first()));
        for (who, n, is_v6, comes) in moves {
            match comes {
                true => drop(holders.entry((is_v6, n)).or_insert(who)),
                false => holders.retain(|key, holder| *key != (is_v6, n) || *holder != who),
            }
            macs[who] = of(who, &holders).after(macs[who]);
            let different: BTreeSet<Mac> = macs.iter().copied().collect();
            prop_assert_eq!(different.len(), macs.len(), "{:?}", macs);
            for (who, mac) in macs.iter().enumerate() {
                let held = address_of(*mac).map(|v4| holders.get(&(false, v4.octets()[3])));
                prop_assert!(held.is_none_or(|holder| holder == Some(&who)));
            }
        }
    }
}
