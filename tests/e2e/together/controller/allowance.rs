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
fn a_policy_that_is_in_use_is_not_deleted_by_one_command() {
    let space = Space::new("ctl-in-use", &bridges());
    let users = || {
        let policy = object(&["podconfigpolicy", space.0]).unwrap_or_default();
        policy["status"]["inUseBy"].clone()
    };
    space.config(&on_bridge("blue"));
    eventually("it is in use", || {
        seen(users() == json!(["default"]), users())
    });
    let delete = ["delete", "podconfigpolicy", space.0];
    let said = refusal(try_kubectl(&delete));
    assert!(
        said.contains("kubectl annotate podconfigpolicy ctl-in-use"),
        "{said}"
    );
    space.delete("podconfig", "data");
    eventually("it is not in use", || {
        seen(users().as_array().is_none_or(Vec::is_empty), users())
    });
    kubectl(&[&delete[..], &["--dry-run=server"]].concat());
    space.config(&on_bridge("blue"));
    eventually("it is in use again", || {
        seen(users() == json!(["default"]), users())
    });
    kubectl(&["annotate", "podconfigpolicy", space.0, ALLOW_DELETION]);
    kubectl(&delete);
}

#[test]
fn a_namespace_without_a_policy_has_one_as_well() {
    let namespace = "ctl-nothing";
    apply(&object_of("v1", "Namespace", namespace, &json!({})));
    let space = Space(namespace);
    says(&space, "it says that nothing is allowed", &json!([]));
}
