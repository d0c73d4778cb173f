//! Of an update only what differs is judged: one can always take away, and nothing ever hangs.

use serde_json::{Value, json};

use super::tenant::Tenant;

fn bridge(name: &str, address: &str) -> Value {
    json!({"name": name, "veth": {"bridge": "blue"}, "addresses": [address]})
}

/// Links of which the first was allowed once, and no more.
fn one_is_no_longer_allowed(name: &str) -> (Tenant, Value, Value) {
    let before = json!([{"veth": {"bridges": "Own"}, "addresses": ["10.1.0.0/16", "10.2.0.0/16"]}]);
    let (old, still) = (bridge("old", "10.1.0.1/24"), bridge("still", "10.2.0.1/24"));
    let tenant = Tenant::new(name, &before, None);
    tenant.create("x", &[old.clone(), still.clone()]);
    tenant.narrow(&json!([{"veth": {"bridges": "Own"}, "addresses": ["10.2.0.0/16"]}]));
    tenant.is_told(
        std::slice::from_ref(&old),
        "link old: address 10.1.0.1/24 is not allowed on such a link; the allowance lists 10.2.0.0/16",
    );
    (tenant, old, still)
}

#[test]
fn what_was_allowed_once_may_stay_and_go_and_others_may_come() {
    let (tenant, old, still) = one_is_no_longer_allowed("adm-update");
    let more = bridge("more", "10.2.0.2/24");
    assert_eq!(
        tenant.replace("x", &[more.clone(), old.clone(), still.clone()]),
        Ok(())
    );
    assert_eq!(tenant.replace("x", &[old.clone(), more]), Ok(()));
    let changed = bridge("old", "10.1.0.2/24");
    let said = tenant.replace("x", &[changed]).expect_err("it differs");
    assert_eq!(
        said,
        "link old: address 10.1.0.2/24 is not allowed on such a link; the allowance lists 10.2.0.0/16"
    );
    assert_eq!(tenant.replace("x", &[still]), Ok(()));
    let said = tenant
        .replace("x", &[old])
        .expect_err("it is gone, and does not come back");
    assert!(
        said.contains("address 10.1.0.1/24 is not allowed"),
        "{said}"
    );
}

#[test]
fn a_range_that_is_no_longer_allowed_may_stay_and_no_other_may_come() {
    let rule = |networks: Value| json!([{"veth": {"bridges": "Own"}, "addresses": networks}]);
    let tenant = Tenant::new(
        "adm-update-range",
        &rule(json!(["10.1.0.0/16", "10.2.0.0/16"])),
        None,
    );
    let pool = |name: &str, cidr: &str| json!({"name": name, "veth": {"bridge": "blue"}, "ipam": {"ranges": [{"cidr": cidr}]}});
    let old = pool("old", "10.1.0.0/24");
    tenant.create("x", std::slice::from_ref(&old));
    tenant.narrow(&rule(json!(["10.2.0.0/16"])));
    let words = "is not allowed on such a link; the allowance lists 10.2.0.0/16";
    tenant.is_told(
        std::slice::from_ref(&old),
        &format!("link old: range 10.1.0.0/24 {words}"),
    );
    let more = pool("more", "10.2.0.0/24");
    assert_eq!(tenant.replace("x", &[old.clone(), more.clone()]), Ok(()));
    let said = tenant.replace("x", &[pool("old", "10.1.1.0/24"), more.clone()]);
    assert_eq!(said, Err(format!("link old: range 10.1.1.0/24 {words}")));
    assert_eq!(tenant.replace("x", &[more]), Ok(()));
}

#[test]
fn without_an_allowance_labels_are_edited_links_taken_away_and_nothing_hangs() {
    let tenant = Tenant::new("adm-missing", &json!([{"veth": {"bridges": "Own"}}]), None);
    let links: Vec<Value> = (0..2)
        .map(|n| json!({"name": format!("n{n}"), "veth": {"bridge": "blue"}}))
        .collect();
    tenant.create("x", &links);
    tenant.kubectl(&["delete", "podconfigallowance", "effective"]);
    tenant.kubectl(&["label", "podconfig/x", "tier=cnf"]);
    assert_eq!(tenant.replace("x", &links[..1]), Ok(()));
    let finalizers = |finalizers: &str| {
        let patch = format!(r#"{{"metadata": {{"finalizers": {finalizers}}}}}"#);
        tenant.kubectl(&["patch", "podconfig/x", "--type=merge", "-p", &patch]);
    };
    finalizers(r#"["example.dev/held"]"#);
    tenant.kubectl(&[
        "delete",
        "podconfig/x",
        "--cascade=foreground",
        "--wait=false",
    ]);
    finalizers("null");
    tenant.kubectl(&["wait", "--for=delete", "podconfig/x", "--timeout=60s"]);
}
