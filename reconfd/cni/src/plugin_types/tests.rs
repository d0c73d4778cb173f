use serde_json::json;

use super::*;
use crate::frozen::tests::object;

fn types(value: Value) -> Result<Vec<(String, String)>, TypesError> {
    let types = of_plugin(&object(value))?;
    Ok(types
        .into_iter()
        .map(|found| (found.path, found.name))
        .collect())
}

fn pair(path: &str, name: &str) -> (String, String) {
    (path.to_owned(), name.to_owned())
}

#[test]
fn attack_6_types_are_found_at_any_depth() {
    let meta = json!({
        "type": "meta",
        "delegate": {"type": "bridge", "ipam": {"type": "host-local"}},
        "delegates": [{"plugins": [{"type": "macvlan"}]}, {"type": "multus", "delegates": [{"type": "evil"}]}],
        "ipam": {"type": "outer", "ipam": {"type": "inner"}},
    });
    let expected = vec![
        pair("type", "meta"),
        pair("ipam.type", "outer"),
        pair("ipam.ipam.type", "inner"),
        pair("delegate.type", "bridge"),
        pair("delegate.ipam.type", "host-local"),
        pair("delegates[0].plugins[0].type", "macvlan"),
        pair("delegates[1].type", "multus"),
        pair("delegates[1].delegates[0].type", "evil"),
    ];
    assert_eq!(types(meta), Ok(expected));
}

#[test]
fn attack_6_a_type_that_flannel_implies_is_found() {
    let found = types(json!({"type": "flannel"})).unwrap();
    assert!(found.contains(&pair("delegate.type", "bridge")));
    assert!(found.contains(&pair("ipam.type", "host-local")));
}

#[test]
fn attack_9_a_key_in_another_case_hides_no_type() {
    for value in [
        json!({"Type": "macvlan"}),
        json!({"type": "a", "IPAM": {"type": "b"}}),
        json!({"type": "a", "ipam": {"tYpe": "b"}}),
        json!({"type": "a", "Delegate": {}}),
        json!({"type": "a", "delegateS": []}),
        json!({"type": "a", "delegates": [{"TYPE": "b"}]}),
    ] {
        assert!(matches!(types(value), Err(TypesError::Case { .. })));
    }
}

#[test]
fn attack_8_a_type_that_is_a_path_is_refused_at_any_depth() {
    for value in [
        json!({"type": "../bridge"}),
        json!({"type": "a", "ipam": {"type": "../../tmp/x"}}),
        json!({"type": "a", "delegates": [{"type": "/x"}]}),
    ] {
        assert!(matches!(types(value), Err(TypesError::Name { .. })));
    }
}

#[test]
fn what_is_no_object_or_no_text_is_refused() {
    for value in [
        json!({"type": 1}),
        json!({"type": ["a"]}),
        json!({"type": "a", "ipam": "host-local"}),
        json!({"type": "a", "delegate": []}),
        json!({"type": "a", "delegates": {}}),
        json!({"type": "a", "delegates": [null]}),
    ] {
        assert!(matches!(types(value), Err(TypesError::Kind { .. })));
    }
    for value in [
        json!({}),
        json!({"type": ""}),
        json!({"ipam": {"type": "a"}}),
    ] {
        assert_eq!(types(value), Err(TypesError::Missing("type".into())));
    }
    assert_eq!(
        types(json!({"type": "a", "ipam": {"type": ""}, "delegate": null})),
        Ok(vec![pair("type", "a")])
    );
}
