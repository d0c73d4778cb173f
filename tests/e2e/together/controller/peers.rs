use super::*;
use crate::support::kubectl::{list, name_of};

fn vxlan() -> Value {
    json!({"name": "data0", "vxlan": {"underlay": "eth0", "vni": 6001, "peers": {"auto": {}}}})
}

fn space(name: &'static str) -> Space {
    let vnis = json!([{"min": 6001, "max": 6001}]);
    let rule = json!({"underlays": ["eth0"], "vnis": vnis, "peers": ["10.77.0.0/16"]});
    let space = Space::new(name, &json!([{"vxlan": rule}]));
    space.config(&vxlan());
    space
}

/// A pod of that node, which says where its end of the tunnel is.
fn end(space: &Space, pod: &str, node: &str, address: &str) {
    let uid = space.pod(pod, node);
    let tunnel = json!({"tunnel": {"vni": 6001, "port": 4789, "address": address}});
    space.report(pod, &uid, node, &tunnel);
}

/// `node=address` of every slice, by the slices' names.
fn peers(space: &Space) -> Vec<(String, Vec<String>)> {
    let slices = list(&["-n", space.0, "peerslices"]);
    let words = |slice: &Value| {
        let peers = slice["spec"]["peers"].as_array().cloned();
        let word = |peer: &Value| format!("{}={}", peer["node"], peer["address"]).replace('"', "");
        peers.unwrap_or_default().iter().map(word).collect()
    };
    slices
        .iter()
        .map(|slice| (name_of(slice), words(slice)))
        .collect()
}

fn are(space: &Space, wanted: &[&str]) {
    let words: Vec<String> = wanted.iter().map(|&word| word.to_owned()).collect();
    let slice = ("vxlan-6001-4789-0".to_owned(), words);
    let wanted: Vec<_> = std::iter::once(slice)
        .filter(|_| !wanted.is_empty())
        .collect();
    eventually(&format!("the peers are {wanted:?}"), || {
        let peers = peers(space);
        seen(peers == wanted, format!("{peers:?}"))
    });
}

#[test]
fn the_peers_of_a_tunnel_are_the_nodes_of_its_pods_as_far_as_the_policy_allows() {
    let space = space("ctl-peers");
    end(&space, "a", "peers-0", "10.77.0.1");
    are(&space, &["peers-0=10.77.0.1"]);
    end(&space, "b", "peers-1", "10.77.0.2");
    end(&space, "c", "peers-2", "192.0.2.1");
    are(&space, &["peers-0=10.77.0.1", "peers-1=10.77.0.2"]);

    kubectl(&["-n", space.0, "delete", "pod", "a", "--force"]);
    are(&space, &["peers-1=10.77.0.2"]);
    space.delete("peerslice", "vxlan-6001-4789-0");
    are(&space, &["peers-1=10.77.0.2"]);
    kubectl(&["-n", space.0, "delete", "pod", "b", "--force"]);
    are(&space, &[]);
}
