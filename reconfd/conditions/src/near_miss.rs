//! Pure: explains why a selector matches no pod, and names the pod labels nearest to it. The message contains no
//! counts, so it changes only with the labels.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use policy::bounded;

/// The labels of one pod.
pub type Labels = BTreeMap<String, String>;

/// Maximum edit distance between two label keys.
const NEAR: usize = 2;

/// Explains why the selector matches none of these pods.
pub fn near_miss<'a>(selector: &LabelSelector, pods: impl Iterator<Item = &'a Labels>) -> String {
    let pods: Vec<&Labels> = pods.collect();
    let wanted = policy::selector(selector).map_or_else(|_| String::new(), |s| s.to_string());
    if pods.is_empty() || wanted.is_empty() {
        return match wanted.as_str() {
            "" => "the namespace has no pods".to_owned(),
            wanted => bounded(format!("no pod has {wanted}")),
        };
    }
    let requested = selector.match_labels.iter().flatten();
    let mut missing =
        requested.filter(|(key, value)| !pods.iter().any(|p| p.get(*key) == Some(*value)));
    bounded(match missing.next() {
        Some((key, value)) => match nearest(key, value, &pods) {
            Some((key2, value2)) => {
                format!("no pod has {key}={value}, but there are pods with {key2}={value2}")
            }
            None => format!("no pod has {key}={value} or any other value of {key}"),
        },
        None => format!("no pod has all of {wanted}"),
    })
}

/// The nearest label: the same key with another value, else a similar key.
fn nearest<'a>(key: &str, value: &str, pods: &[&'a Labels]) -> Option<(&'a str, &'a str)> {
    let all = pods.iter().flat_map(|pod| pod.iter());
    let all: BTreeSet<(&str, &str)> = all.map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let far = |(k, v): &(&str, &str)| {
        let (of_key, of_value) = (distance(k, key), distance(v, value));
        (of_key <= NEAR).then_some((of_key, of_value))
    };
    let near = all
        .into_iter()
        .filter_map(|label| Some((far(&label)?, label)));
    near.min().map(|(_, label)| label)
}

fn distance(a: &str, b: &str) -> usize {
    strsim::damerau_levenshtein(a, b)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn said(selector: Value, pods: &[&str]) -> String {
        let selector: LabelSelector = serde_json::from_value(selector).unwrap();
        let labels = |pod: &&str| -> Labels {
            let labels = pod.split(',').filter_map(|label| label.split_once('='));
            labels.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
        };
        let pods: Vec<Labels> = pods.iter().map(labels).collect();
        near_miss(&selector, pods.iter())
    }

    fn app(value: &str) -> Value {
        json!({"matchLabels": {"app": value}})
    }

    #[test]
    fn a_value_that_is_written_wrong_is_named_with_the_right_one() {
        assert_eq!(
            said(app("cfn"), &["app=cnf", "app=web", "app=cnf,tier=x"]),
            "no pod has app=cfn, but there are pods with app=cnf"
        );
    }

    #[test]
    fn a_label_that_is_written_wrong_is_named_with_the_right_one() {
        assert_eq!(
            said(app("cnf"), &["apps=cnf", "role=cnf"]),
            "no pod has app=cnf, but there are pods with apps=cnf"
        );
        assert_eq!(
            said(app("cnf"), &["role=cnf"]),
            "no pod has app=cnf or any other value of app"
        );
    }

    #[test]
    fn labels_that_no_pod_has_together_are_said_to_be_so() {
        let both = json!({"matchLabels": {"app": "cnf", "tier": "x"}});
        assert_eq!(
            said(both, &["app=cnf", "tier=x"]),
            "no pod has all of app=cnf,tier=x"
        );
        let among =
            json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["cnf"]}]});
        assert!(said(among, &["app=web"]).starts_with("no pod has all of app"));
    }

    #[test]
    fn where_there_are_no_pods_none_is_named() {
        assert_eq!(said(app("cnf"), &[]), "no pod has app=cnf");
        assert_eq!(said(json!({}), &[]), "the namespace has no pods");
    }
}
