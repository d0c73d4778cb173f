use super::*;

fn effective(space: &Space) -> Option<Value> {
    space
        .find("podconfigallowance", "effective")
        .map(|allowance| allowance["spec"].clone())
}

fn says(space: &Space, what: &str, allow: &Value) {
    eventually(what, || {
        let spec = effective(space).ok_or("there is none")?;
        seen(spec["allow"] == *allow && spec["complete"] == true, &spec)
    });
}

#[test]
fn it_follows_the_policies_and_comes_back_when_somebody_deletes_it() {
    let space = Space::new("ctl-allowance", &bridges());
    says(&space, "the rules are told", &bridges());
    assert_eq!(
        effective(&space).expect("it is there")["policies"],
        json!([space.0])
    );
    let more = json!([{"veth": {"bridges": "Own"}, "addresses": ["10.0.0.0/8"]}]);
    space.policy(&more);
    says(&space, "the new rules are told", &more);
    space.delete("podconfigallowance", "effective");
    says(&space, "it is back", &more);
    kubectl(&["delete", "podconfigpolicy", space.0]);
    says(&space, "it is emptied", &json!([]));
}

#[test]
fn a_namespace_without_a_policy_has_one_as_well() {
    let namespace = "ctl-nothing";
    apply(&object_of("v1", "Namespace", namespace, &json!({})));
    let space = Space(namespace);
    says(&space, "it says that nothing is allowed", &json!([]));
}
