//! Extracts the path of a sandbox's network namespace from a runtime's verbose status. Pure. Its JSON follows no
//! standard: unknown parts are ignored.

use std::path::PathBuf;

use serde_json::Value;

/// containerd 2 has a field of its own; older versions and CRI-O have the path in the OCI specification.
pub fn netns(info: &str) -> Result<PathBuf, String> {
    let info: Value = serde_json::from_str(info).map_err(|error| format!("info: {error}"))?;
    let own = info.pointer("/sandboxMetadata/Metadata/NetNSPath");
    let own = own.and_then(Value::as_str).filter(|path| !path.is_empty());
    let path = own.or_else(|| of_specification(&info));
    path.map(PathBuf::from)
        .ok_or_else(|| "info has no path of a network namespace".into())
}

fn of_specification(info: &Value) -> Option<&str> {
    let namespaces = info.pointer("/runtimeSpec/linux/namespaces")?.as_array()?;
    let network = namespaces.iter().find(|one| one["type"] == "network")?;
    network["path"].as_str().filter(|path| !path.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn path(info: Value) -> Result<PathBuf, String> {
        netns(&info.to_string())
    }

    fn specification(path: &str) -> Value {
        json!({"ociVersion": "1.2.0", "linux": {"namespaces": [
            {"type": "pid"}, {"type": "ipc"}, {"type": "network", "path": path}, {"type": "mount"},
        ]}})
    }

    #[test]
    fn containerd_of_today_says_it_itself() {
        let info = json!({
            "pid": 7, "runtimeSpec": specification("/run/netns/of-the-spec"),
            "sandboxMetadata": {"Version": "v1", "Metadata": {"ID": "c", "NetNSPath": "/run/netns/cni-1"}},
        });
        assert_eq!(path(info), Ok("/run/netns/cni-1".into()));
    }

    #[test]
    fn older_containerd_and_crio_say_it_in_the_specification() {
        let specification = specification("/var/run/netns/x");
        for info in [
            json!({"pid": 7, "runtimeSpec": specification}),
            json!({"image": "i", "pid": 7, "runtimeSpec": specification}),
            json!({"sandboxMetadata": null, "runtimeSpec": specification}),
            json!({"sandboxMetadata": {"Metadata": {"NetNSPath": ""}}, "runtimeSpec": specification}),
        ] {
            assert_eq!(path(info), Ok("/var/run/netns/x".into()));
        }
    }

    #[test]
    fn a_sandbox_half_made_or_in_another_shape_tells_none() {
        for info in [
            json!({}),
            json!(7),
            json!(null),
            json!({"runtimeSpec": null}),
            json!({"runtimeSpec": {"linux": null}}),
            json!({"runtimeSpec": {"linux": {"namespaces": null}}}),
            json!({"runtimeSpec": {"linux": {"namespaces": [7, {"type": "network"}]}}}),
            json!({"runtimeSpec": {"linux": {"namespaces": [{"type": "network", "path": 7}]}}}),
            json!({"runtimeSpec": specification("")}),
        ] {
            assert!(path(info.clone()).is_err(), "{info}");
        }
        assert!(netns("").is_err());
        assert!(netns(&"[".repeat(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_at_all_can_panic(text: String) {
            prop_assert!(netns(&text).is_err());
        }
    }
}
