use serde_json::json;

use super::*;

fn config(name: &str, selector: serde_json::Value) -> Arc<PodConfig> {
    let config = json!({
        "metadata": {"namespace": "t", "name": name},
        "spec": {"podSelector": selector, "links": []},
    });
    Arc::new(serde_json::from_value(config).unwrap())
}

fn labels(labels: &[(&str, &str)]) -> BTreeMap<String, String> {
    let labels = labels.iter();
    labels
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// The index leaves out only what does not select the pod.
#[test]
fn every_podconfig_that_selects_the_pod_is_among_those_that_may() {
    let selectors = [
        json!({}),
        json!({"matchLabels": {}}),
        json!({"matchLabels": {"app": "a"}}),
        json!({"matchLabels": {"app": "a", "tier": "x"}}),
        json!({"matchLabels": {"app": "b"}}),
        json!({"matchLabels": {"tier": "x"}}),
        json!({"matchLabels": {"app": "a"}, "matchExpressions": []}),
        json!({"matchLabels": {"app": "b"}, "matchExpressions": [{"key": "app", "operator": "Bad"}]}),
        json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}),
    ];
    let names = |configs: &[Arc<PodConfig>]| -> Vec<String> {
        let names = configs.iter().filter_map(|c| c.metadata.name.clone());
        names.collect()
    };
    let all: Vec<_> = selectors
        .into_iter()
        .enumerate()
        .map(|(n, selector)| config(&n.to_string(), selector))
        .collect();
    let indexed = NamespaceConfigs::new(all.clone());
    let pods = [
        labels(&[]),
        labels(&[("app", "a")]),
        labels(&[("app", "a"), ("tier", "x")]),
        labels(&[("app", "x"), ("tier", "a")]),
    ];
    for pod in pods {
        let may = names(&indexed.of(&pod));
        let selecting = all
            .iter()
            .filter(|config| crate::podconfig::desired::selects(config, &pod));
        let selecting: Vec<_> = selecting.cloned().collect();
        assert!(
            names(&selecting).iter().all(|name| may.contains(name)),
            "{pod:?} {may:?}"
        );
        // An invalid selector is reported for every pod of the namespace.
        assert!(may.contains(&"7".to_owned()), "{may:?}");
    }
    assert_eq!(indexed.of(&labels(&[("app", "x")])).len(), 4);
}
