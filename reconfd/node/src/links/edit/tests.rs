#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::links::{
    HostEnd, HostSide, Link, LinkKind, OwnershipMark, PodSide, Veth, address, bridge,
    ingress_filter::program,
    mac::Derived,
    ownership_mark::{PORT_OF_NODE, other_end},
    settings, veth,
};

const MAC: [u8; 6] = [0x0a, 0x58, 10, 9, 0, 5];
const OTHER_MAC: [u8; 6] = [0x0a, 0x58, 10, 9, 0, 6];
const BRIDGE: u32 = 70;

fn net(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

fn way(to: &str, via: Option<&str>) -> Route {
    Route {
        to: net(to),
        via: via.map(|via| via.parse().unwrap()),
        metric: None,
        table: None,
    }
}

fn on_namespace_bridge() -> HostEnd {
    HostEnd::Bridge {
        name: "pcbabcdefghijkl".into(),
        stands_for: "shop/lan".into(),
    }
}

fn want(host_end: HostEnd) -> Want {
    let veth = Veth {
        host_end,
        learning: false,
    };
    Want {
        link: Link {
            name: "data0".into(),
            kind: LinkKind::Veth(veth),
            mtu: Some(1500),
            mac: None,
            addresses: vec![net("10.9.0.5/24")],
            routes: BTreeSet::from([way("10.20.0.0/16", Some("10.9.0.1"))]),
            slaac: false,
        },
        derived: Derived {
            of_addresses: vec![MAC],
            of_link: [0x0a, 1, 2, 3, 4, 5],
        },
        mark: OwnershipMark {
            installation: "home".into(),
            pod_uid: "pod-1".into(),
            podconfig_uid: "config-1".into(),
            link: "data0".into(),
            spec_hash: "0123".into(),
        },
        host_name: "pcabcdefghijklm".into(),
        host_mtu: 1500,
        mtu: 1500,
        policy: None,
        device: None,
    }
}

fn veth(want: &Want) -> &Veth {
    let LinkKind::Veth(veth) = &want.link.kind else {
        unreachable!("all of these are veths")
    };
    veth
}

/// What the kernel shows of a link on a namespace's bridge that was just made as wanted.
fn fresh(want: &Want) -> Present {
    Present {
        mark: Some(want.mark.clone()),
        place: veth(want).host_end.place(),
        host: HostSide {
            index: 7,
            name: want.host_name.clone(),
            is_marked: true,
            up: true,
            mtu: want.host_mtu,
            own_mac: other_end(MAC),
            mac: Some(MAC),
            master: Some(BRIDGE),
            port: Some(bridge::port(false)),
            pins: BTreeSet::from([MAC]),
            is_ingress_shared: false,
            ingress: program::of(veth(want), &want.link),
            settings: settings_of(&veth(want).host_end),
            addresses: Vec::new(),
            routes: BTreeSet::new(),
        },
        pod: Some(PodSide {
            index: 3,
            name: want.link.name.clone(),
            up: true,
            mtu: want.mtu,
            mac: Some(MAC),
            slaac: Some(false),
            has_ipv6_off: false,
            addresses: want.link.addresses.iter().map(|a| ours(*a)).collect(),
            routes: want.link.routes.clone(),
        }),
    }
}

fn settings_of(host_end: &HostEnd) -> BTreeMap<Setting, String> {
    let settings = settings::of(host_end).iter();
    settings
        .map(|(setting, value)| (*setting, (*value).to_owned()))
        .collect()
}

fn ours(network: IpNetwork) -> address::PresentAddress {
    address::PresentAddress {
        index: 3,
        network,
        ours: true,
        prefix_route: PrefixRoute::Kernel,
    }
}

/// The edits of a link on a namespace's bridge, after something was done to it or to the wish.
fn after(deed: impl FnOnce(&mut Present, &mut Want)) -> Vec<Edit> {
    let mut want = want(on_namespace_bridge());
    let mut present = fresh(&want);
    deed(&mut present, &mut want);
    edits(&present, &want, veth(&want), Some(BRIDGE)).unwrap()
}

fn in_pod(present: &mut Present) -> &mut PodSide {
    present.pod.as_mut().unwrap()
}

#[test]
fn a_fresh_link_is_left_alone() {
    assert_eq!(after(|_, _| ()), []);
}

#[test]
fn a_fresh_routed_link_is_left_alone_too() {
    let want = want(HostEnd::Routed);
    let present = fresh_routed(&want);
    assert_eq!(edits(&present, &want, veth(&want), None), Some(Vec::new()));
}

#[test]
fn an_mtu_that_the_pod_changed_is_set_again_on_its_side_alone() {
    assert_eq!(after(|now, _| in_pod(now).mtu = 1400), [Edit::PodMtu]);
}

#[test]
fn a_new_mtu_is_set_on_both_ends() {
    let edits = after(|_, want| {
        want.mtu = 9000;
        want.host_mtu = 9000;
    });
    assert_eq!(edits, [Edit::HostMtu, Edit::PodMtu]);
}

#[test]
fn an_address_that_the_pod_deleted_comes_back() {
    let edits = after(|now, _| in_pod(now).addresses.clear());
    let back = Edit::AddAddress(net("10.9.0.5/24"), PrefixRoute::Kernel);
    assert_eq!(edits, [back]);
}

#[test]
fn an_address_that_the_pod_gave_itself_is_not_ours_to_delete() {
    let edits = after(|now, _| {
        in_pod(now).addresses.push(address::PresentAddress {
            ours: false,
            ..ours(net("192.0.2.1/32"))
        });
    });
    assert_eq!(edits, []);
}

#[test]
fn a_new_address_is_there_before_the_old_one_goes() {
    let edits = after(|_, want| want.link.addresses = vec![net("10.9.0.8/24")]);
    let expected = [
        Edit::AddAddress(net("10.9.0.8/24"), PrefixRoute::Kernel),
        Edit::DeleteAddress(net("10.9.0.5/24")),
        // Again: where secondaries are not promoted, it went with the first of its subnet, and with
        // the last address all routes.
        Edit::AddAddress(net("10.9.0.8/24"), PrefixRoute::Kernel),
        Edit::KeepRoute(way("10.20.0.0/16", Some("10.9.0.1"))),
    ];
    assert_eq!(edits, expected);
}

#[test]
fn routes_that_went_with_an_address_come_back_behind_the_ways_to_their_gateways() {
    let through = way("10.20.0.0/16", Some("172.16.0.1"));
    let (direct, six) = (way("172.16.0.1/32", None), way("fd09::/64", None));
    let edits = after(|now, want| {
        want.link.addresses.clear();
        want.link.routes = BTreeSet::from([direct.clone(), through.clone(), six.clone()]);
        in_pod(now).routes = BTreeSet::from([direct.clone(), six]);
    });
    let expected = [
        Edit::DeleteAddress(net("10.9.0.5/24")),
        Edit::KeepRoute(direct),
        Edit::AddRoute(through),
    ];
    assert_eq!(edits, expected);
}

#[test]
fn a_route_to_another_gateway_gives_way_to_the_one_asked_for() {
    let stray = way("10.20.0.0/16", Some("10.9.0.99"));
    let edits = after(|now, _| in_pod(now).routes = BTreeSet::from([stray.clone()]));
    let asked = way("10.20.0.0/16", Some("10.9.0.1"));
    assert_eq!(edits, [Edit::DeleteRoute(stray), Edit::AddRoute(asked)]);
}

#[test]
fn the_way_to_a_gateway_comes_before_the_way_through_it() {
    // In the order of destinations the way through the gateway would be the first.
    let direct = way("172.16.0.1/32", None);
    let through = way("10.20.0.0/16", Some("172.16.0.1"));
    let edits = after(|now, want| {
        want.link.routes = BTreeSet::from([direct.clone(), through.clone()]);
        in_pod(now).routes.clear();
    });
    assert_eq!(edits, [Edit::AddRoute(direct), Edit::AddRoute(through)]);
}

#[test]
fn a_host_end_taken_off_its_bridge_joins_again_and_is_set_up_as_a_port() {
    let edits = after(|now, _| now.host.master = None);
    let pin = Edit::Pin(MAC);
    let port = Edit::Port(bridge::port(false));
    assert_eq!(edits, [Edit::Join, port, pin, Edit::ForgetNeighbours]);
}

#[test]
fn a_port_that_learns_on_the_sly_has_its_flags_set_and_nothing_else() {
    let edits = after(|now, _| now.host.port = Some(bridge::port(true)));
    assert_eq!(edits, [Edit::Port(bridge::port(false))]);
}

#[test]
fn a_mac_address_that_the_pod_changed_is_the_old_one_again() {
    let edits = after(|now, _| in_pod(now).mac = Some(OTHER_MAC));
    assert_eq!(edits, [Edit::PodMac(MAC)]);
}

#[test]
fn a_new_mac_address_takes_the_pin_of_the_old_one_along() {
    let edits = after(|_, want| want.link.mac = Some(OTHER_MAC));
    let own = Edit::HostMac(other_end(OTHER_MAC));
    let (pin, unpin) = (Edit::Pin(OTHER_MAC), Edit::Unpin(MAC));
    let expected = [own, pin, unpin, Edit::PodMac(OTHER_MAC)];
    assert!(expected[0].is_late(&expected) && expected[2].is_late(&expected));
    assert_eq!(edits, expected);
}

/// The kernel's own addresses of a MAC address go with it, or its next holder could not have them.
#[test]
fn a_mac_address_goes_with_its_address_and_takes_the_link_local_one_along() {
    let edits = after(|now, want| {
        in_pod(now).addresses.push(address::PresentAddress {
            ours: false,
            ..ours(net("fe80::858:aff:fe09:5/64"))
        });
        want.link.addresses = vec![net("10.9.0.6/24")];
        want.derived.of_addresses = vec![OTHER_MAC];
    });
    let expected = [
        Edit::HostMac(other_end(OTHER_MAC)),
        Edit::Pin(OTHER_MAC),
        Edit::Unpin(MAC),
        Edit::PodMac(OTHER_MAC),
        Edit::DeleteAddress(net("fe80::858:aff:fe09:5/64")),
        Edit::AddLinkLocal("fe80::858:aff:fe09:6".parse().unwrap()),
    ];
    assert_eq!(edits[..6], expected);
}

/// The number of a port that comes or goes must not be a bridge's of the node.
#[test]
fn all_host_ends_on_bridges_of_the_node_have_one_mac_address() {
    let want = want(HostEnd::HostBridge("br-lan".into()));
    let mut present = fresh(&want);
    let ends = |present: &Present| edits(present, &want, veth(&want), Some(BRIDGE)).unwrap();
    assert_eq!(ends(&present), [Edit::HostMac(PORT_OF_NODE)]);
    present.host.own_mac = PORT_OF_NODE;
    assert_eq!(ends(&present), []);
    present.host.mac = None;
    present.host.pins.clear();
    let pin = Edit::Pin(MAC);
    assert_eq!(
        ends(&present),
        [pin],
        "what was taken from the table is computed again"
    );
}

#[test]
fn a_pod_end_that_was_renamed_and_lowered_is_named_before_it_is_raised() {
    let edits = after(|now, _| {
        in_pod(now).name = "mine".into();
        in_pod(now).up = false;
    });
    assert_eq!(edits, [Edit::Rename, Edit::RaisePod]);
}

#[test]
fn a_host_end_that_moves_to_the_node_is_set_up_anew_there() {
    let was = want(on_namespace_bridge());
    let shall = want(HostEnd::HostBridge("br0".into()));
    let edits = edits(&fresh(&was), &shall, veth(&shall), Some(BRIDGE)).unwrap();
    // Another bridge of the same number in another namespace is another bridge.
    let pin = Edit::Pin(MAC);
    let mut expected = vec![Edit::Move(HostNetns::Node)];
    expected.extend(all_settings(&shall));
    expected.push(Edit::Ingress);
    expected.extend([
        Edit::HostMac(PORT_OF_NODE),
        Edit::Join,
        Edit::Port(bridge::port(false)),
        pin,
    ]);
    expected.push(Edit::ForgetNeighbours);
    assert_eq!(edits, expected);
}

fn all_settings(want: &Want) -> impl Iterator<Item = Edit> {
    let settings = settings::of(&veth(want).host_end).iter();
    settings.map(|(setting, value)| Edit::HostSetting(*setting, value))
}

/// What the kernel shows of a routed link that was just made as wanted.
fn fresh_routed(want: &Want) -> Present {
    let mut present = fresh(want);
    present.host.master = None;
    present.host.port = None;
    present.host.pins.clear();
    present.host.addresses = veth::gateways(&want.link);
    present.host.routes = veth::host_routes(&want.link);
    let pod = in_pod(&mut present);
    pod.routes = veth::pod_routes(&want.link);
    let addresses = pod.addresses.iter_mut();
    addresses.for_each(|address| address.prefix_route = PrefixRoute::Not);
    present
}

#[test]
fn a_routed_link_that_comes_to_a_bridge_of_the_node_is_down_until_its_filter_is_the_bridges() {
    let (was, shall) = (
        want(HostEnd::Routed),
        want(HostEnd::HostBridge("br0".into())),
    );
    let edits = edits(&fresh_routed(&was), &shall, veth(&shall), Some(BRIDGE)).unwrap();
    let ipv6_off = Edit::HostSetting(settings::DISABLE_IPV6, "1");
    assert_eq!(edits[..3], [Edit::LowerHost, ipv6_off, Edit::Ingress]);
    let joins = edits.iter().position(|edit| *edit == Edit::Join).unwrap();
    let leaves =
        |edit: &Edit| matches!(edit, Edit::DeleteHostRoute(_) | Edit::DeleteHostAddress(_));
    assert!(edits[..joins].iter().any(leaves) && !edits[joins..].iter().any(leaves));
    let address = net("10.9.0.5/24");
    let own_network = way("10.9.0.0/24", Some("169.254.1.1"));
    let gone = |edit: &Edit| edits.iter().position(|other| other == edit).unwrap();
    let (no_route, no_address) = (Edit::DeleteRoute(own_network), Edit::DeleteAddress(address));
    assert!(gone(&no_route) < gone(&no_address), "{edits:?}");
    let again = Edit::AddAddress(address, PrefixRoute::Kernel);
    assert!(gone(&no_address) < gone(&again), "{edits:?}");
}

#[test]
fn a_link_of_a_bridge_of_the_node_that_is_routed_next_leaves_it_behind_its_new_filter() {
    let (was, shall) = (
        want(HostEnd::HostBridge("br0".into())),
        want(HostEnd::Routed),
    );
    let edits = edits(&fresh(&was), &shall, veth(&shall), None).unwrap();
    let ipv6_on = Edit::HostSetting(settings::DISABLE_IPV6, "0");
    let expected = [
        Edit::LowerHost,
        ipv6_on,
        Edit::Ingress,
        Edit::Join,
        Edit::RaiseHost,
    ];
    assert_eq!(edits[..5], expected);
    let again = Edit::AddAddress(net("10.9.0.5/24"), PrefixRoute::Not);
    assert!(edits.contains(&again), "{edits:?}");
}

#[test]
fn addresses_of_a_routed_link_change_with_its_filter_first_and_without_going_down() {
    let was = want(HostEnd::Routed);
    let mut shall = was.clone();
    shall.link.addresses = vec![net("10.9.0.8/24")];
    let edits = edits(&fresh_routed(&was), &shall, veth(&shall), None).unwrap();
    assert_eq!(edits[0], Edit::Ingress);
    assert!(!edits.contains(&Edit::LowerHost) && !edits.contains(&Edit::ForgetNeighbours));
}

#[test]
fn a_filter_that_was_taken_away_and_a_sysctl_that_was_set_come_back() {
    assert_eq!(after(|now, _| now.host.ingress.clear()), [Edit::Ingress]);
    let want = want(HostEnd::Routed);
    let mut present = fresh_routed(&want);
    let loosened = (
        settings::Setting {
            family: "ipv4",
            name: "rp_filter",
        },
        "2".to_owned(),
    );
    present.host.settings.extend([loosened.clone()]);
    let strict = Edit::HostSetting(loosened.0, "1");
    assert_eq!(
        edits(&present, &want, veth(&want), None),
        Some(vec![strict])
    );
}

#[test]
fn a_link_too_narrow_for_ipv6_has_nothing_to_mend_about_router_advertisements() {
    let edits = after(|now, want| {
        want.link.slaac = true;
        in_pod(now).slaac = None;
    });
    assert_eq!(edits, []);
}

#[test]
fn a_mark_that_says_another_thing_is_written_when_all_else_is_done() {
    let edits = after(|_, want| {
        want.mark.spec_hash = "4567".into();
        want.link.slaac = true;
    });
    assert_eq!(edits, [Edit::Slaac(true), Edit::Mark]);
}

#[test]
fn a_link_whose_pod_end_is_lost_can_not_be_mended() {
    let want = want(on_namespace_bridge());
    let mut present = fresh(&want);
    present.pod = None;
    assert_eq!(edits(&present, &want, veth(&want), Some(BRIDGE)), None);
}

#[test]
fn each_edit_goes_to_the_side_that_it_is_of() {
    let edits = after(|now, want| {
        now.host.up = false;
        now.host.mtu = 1280;
        in_pod(now).mtu = 1280;
        want.link.addresses.clear();
        want.mark.spec_hash.clear();
    });
    let (inside, outside): (Vec<_>, Vec<_>) = edits.into_iter().partition(Edit::in_pod);
    let gone = Edit::DeleteAddress(net("10.9.0.5/24"));
    let kept = Edit::KeepRoute(way("10.20.0.0/16", Some("10.9.0.1")));
    assert_eq!(inside, [Edit::PodMtu, gone, kept]);
    let port = Edit::Port(bridge::port(false));
    assert_eq!(outside, [Edit::HostMtu, port, Edit::Mark]);
}

#[test]
fn ipv6_that_was_switched_off_comes_back_for_a_link_that_needs_it() {
    assert_eq!(after(|now, _| in_pod(now).has_ipv6_off = true), []);
    let edits = after(|now, want| {
        in_pod(now).has_ipv6_off = true;
        want.link.addresses.push(net("fd99::5/64"));
    });
    let address = Edit::AddAddress(net("fd99::5/64"), PrefixRoute::Kernel);
    assert_eq!(edits, [Edit::Ipv6On, address]);
}
