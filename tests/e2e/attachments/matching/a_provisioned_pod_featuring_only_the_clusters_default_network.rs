//! Without the annotation at its start.

use super::super::*;

#[test]
fn manages_to_add_a_new_interface_to_a_running_pod() {
    let tenant = tenant("multus-default");
    let pod = start(&tenant, "n1", &[]);
    assert_eq!(secondary(&pod), [] as [Value; 0]);
    let mut asked = element(&tenant, NETWORK, "ens58");
    asked["mac"] = json!("02:03:04:05:06:07");
    ask(&tenant, &[asked]);
    let mut expected = entry(&tenant, NETWORK, "ens58");
    expected["mac"] = json!("02:03:04:05:06:07");
    within(
        PUBLISHED,
        &format!("network-status has {expected} alone"),
        || {
            let found = secondary(&pod);
            seen(found == [expected.clone()], json!(found))
        },
    );
    assert_eq!(is_macvlan(&pod, "ens58")["address"], "02:03:04:05:06:07");
}
