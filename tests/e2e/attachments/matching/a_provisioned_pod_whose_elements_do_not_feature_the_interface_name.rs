//! The end state of the published test, which waits for names: with `match` none are needed.

use super::super::*;

#[test]
fn manages_to_add_a_new_interface_before_the_desired_state_features_the_interface_names() {
    let tenant = tenant("multus-unnamed");
    let first = unnamed(&tenant, NETWORK);
    let pod = start(&tenant, "n0", std::slice::from_ref(&first));
    lists(&pod, &[entry(&tenant, NETWORK, "net1")]);
    let before = is_macvlan(&pod, "net1");
    ask(&tenant, &[first, element(&tenant, NETWORK, "ens58")]);
    let both = ["net1", "ens58"];
    lists(&pod, &both.map(|name| entry(&tenant, NETWORK, name)));
    let added = is_macvlan(&pod, "ens58");
    // Names that are added later are those that are there: nothing is attached anew.
    ask(&tenant, &both.map(|name| element(&tenant, NETWORK, name)));
    ask(
        &tenant,
        &[both[0], both[1], "ens59"].map(|name| element(&tenant, NETWORK, name)),
    );
    lists(
        &pod,
        &["net1", "ens58", "ens59"].map(|name| entry(&tenant, NETWORK, name)),
    );
    assert_eq!(is_macvlan(&pod, "net1")["ifindex"], before["ifindex"]);
    assert_eq!(is_macvlan(&pod, "ens58")["ifindex"], added["ifindex"]);
}
