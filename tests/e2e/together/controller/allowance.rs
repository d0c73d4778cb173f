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

fn is_gone(space: &Space) {
    eventually("the allowance is gone", || {
        effective(space).map_or(Ok(()), |spec| Err(spec.to_string()))
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
    is_gone(&space);
}

#[test]
fn it_is_emptied_while_podconfigs_are_there_and_then_deleted() {
    let space = Space::new("ctl-emptied", &bridges());
    says(&space, "the rules are told", &bridges());
    space.config(&on_bridge("blue"));
    kubectl(&["delete", "podconfigpolicy", space.0]);
    says(&space, "it is emptied", &json!([]));
    space.delete("podconfig", "data");
    is_gone(&space);
}
