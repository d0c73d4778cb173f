//! What can no longer be read is unknown and named, what is gone is gone, and what comes is found.

use super::*;

const POOLS: &str = "IPPool.crd.projectcalico.org";
const NETWORK: &str = "172.28.0.0/18 Pods IPPool.crd.projectcalico.org default-ipv4-ippool";

fn pool() -> Objects {
    let text = fixture("calico");
    let objects = Objects(text.split("\n---\n").next().unwrap_or_default().to_owned());
    applied(&objects.0);
    objects
}

/// The controller's right to read pools; it has it again with the end of this.
struct Forbidden(String);

impl Forbidden {
    fn pools() -> Self {
        let role = object(&["clusterrole", "podconfig-controller"]).expect("the role is there");
        let mut without = role.clone();
        let rules = without["rules"].as_array_mut().expect("it has rules");
        rules.retain(|rule| {
            !rule["apiGroups"]
                .to_string()
                .contains("crd.projectcalico.org")
        });
        write_rules(&without);
        Self(role["rules"].to_string())
    }
}

fn write_rules(role: &Value) {
    let patch = format!(r#"{{"rules": {}}}"#, role["rules"]);
    kubectl(&[
        "patch",
        "clusterrole",
        "podconfig-controller",
        "--type=merge",
        "-p",
        &patch,
    ]);
}

impl Drop for Forbidden {
    fn drop(&mut self) {
        let patch = format!(r#"{{"rules": {}}}"#, self.0);
        try_kubectl(&[
            "patch",
            "clusterrole",
            "podconfig-controller",
            "--type=merge",
            "-p",
            &patch,
        ]);
    }
}

#[test]
fn what_may_no_longer_be_read_is_unknown_and_its_networks_stay() {
    let _definitions = Definitions::of(&[POOLS]);
    let _pool = pool();
    is_published(NETWORK);
    is_in_state(POOLS, "Read", "");
    let forbidden = Forbidden::pools();
    is_in_state(
        POOLS,
        "Unknown",
        "grant the controller list and watch of ippools.crd.projectcalico.org",
    );
    let head = object(&["reservednetworks", "default"]).unwrap_or_default();
    let named = head["spec"]["summary"]["unknown"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert_eq!(named, POOLS);
    is_published(NETWORK);
    drop(forbidden);
    is_in_state(POOLS, "Read", "");
}

#[test]
fn a_kind_that_goes_takes_its_networks_along_and_one_that_comes_is_found() {
    is_in_state(POOLS, "Absent", "");
    let begun = Instant::now();
    let definitions = Definitions::of(&[POOLS]);
    let pool = pool();
    is_published(NETWORK);
    println!(
        "a kind that came was found, and read, within {:?}",
        begun.elapsed()
    );
    definitions.delete();
    is_in_state(POOLS, "Absent", "");
    is_not_published(NETWORK);
    drop(pool);
}

#[test]
fn an_object_that_nobody_understands_is_named_and_hides_no_other() {
    let _definitions = Definitions::of(&[POOLS]);
    let _pool = pool();
    is_published(NETWORK);
    let odd = Objects("{apiVersion: crd.projectcalico.org/v1, kind: IPPool, metadata: {name: odd}, spec: {cidr: ten}}".into());
    applied(&odd.0);
    is_in_state(
        POOLS,
        "Unknown",
        r#"IPPool.crd.projectcalico.org/odd: spec.cidr: "ten" is not a network"#,
    );
    is_published(NETWORK);
    drop(odd);
    is_in_state(POOLS, "Read", "");
}

#[test]
fn a_controller_that_comes_back_knows_since_when() {
    let _definitions = Definitions::of(&[POOLS]);
    let _pool = pool();
    is_published(NETWORK);
    let since = || {
        let mut networks = list(&["reservednetworks"]).into_iter().flat_map(|object| {
            object["spec"]["networks"]
                .as_array()
                .cloned()
                .unwrap_or_default()
        });
        let network = networks.find(|network| network["prefix"] == "172.28.0.0/18");
        network.map(|network| network["since"].to_string())
    };
    let before = since();
    assert!(before.is_some());
    let renewed =
        || object(&["reservednetworks", "default"]).unwrap_or_default()["spec"]["renewed"].clone();
    let said = renewed();
    ours(&["rollout", "restart", CONTROLLER]);
    product::is_ready();
    eventually("it is said again that this is how it is", || {
        seen(renewed() != said, renewed())
    });
    assert_eq!(since(), before);
    assert_eq!(state_of(POOLS).0, "Read");
}
