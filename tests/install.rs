//! What is installed on a cluster is what the chart and the types say, as far as that can be seen without
//! helm; with it, `install/manifests --check` says the rest.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use address::sources::{ALL, Selector, SourceKind};
use serde_json::Value;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn read(path: &str) -> String {
    let path = repository().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The definitions' file names and texts.
fn definitions(folder: &str) -> Vec<(String, String)> {
    let mut found: Vec<_> = fs::read_dir(repository().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml"))
        .map(|name| (name.clone(), read(&format!("{folder}/{name}"))))
        .collect();
    found.sort();
    assert!(found.len() >= 3, "{folder} has definitions");
    found
}

fn documents(path: &str) -> Vec<Value> {
    let text = read(path);
    let parts = text.split("\n---\n").filter(|part| part.contains("kind:"));
    let parsed = parts.map(|part| -> Value {
        serde_saphyr::from_str(part).unwrap_or_else(|error| panic!("{path}: {error}\n{part}"))
    });
    parsed.flat_map(flattened).collect()
}

/// A list stands for its items.
fn flattened(object: Value) -> Vec<Value> {
    match object["kind"] == "List" {
        true => object["items"].as_array().cloned().unwrap_or_default(),
        false => vec![object],
    }
}

fn find<'a>(documents: &'a [Value], kind: &str, name: &str) -> &'a Value {
    documents
        .iter()
        .find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
        .unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

fn strings(list: &Value) -> Vec<&str> {
    let items = list.as_array().into_iter().flatten();
    items.map(|item| item.as_str().unwrap()).collect()
}

#[test]
fn the_chart_holds_the_definitions_that_the_types_make() {
    assert!(
        definitions("install/chart/podconfig/files/crds") == definitions("crds"),
        "run `make manifests` and commit what it writes"
    );
}

#[test]
fn the_manifest_holds_every_definition_word_for_word_and_marked_as_kept() {
    let manifest = read("install/install.yaml");
    for (name, text) in definitions("crds") {
        let kept = text.replace(
            "\nmetadata:\n",
            "\nmetadata:\n  annotations:\n    helm.sh/resource-policy: keep\n",
        );
        assert!(
            manifest.contains(kept.trim_end()),
            "install/install.yaml is stale in {name}: run `make manifests`"
        );
    }
}

#[test]
fn every_object_is_whole_and_lives_where_it_should() {
    for path in ["install/install.yaml", "install/uninstall.yaml"] {
        let objects = documents(path);
        assert!(objects.len() > 5, "{path}");
        let mut seen = BTreeSet::new();
        for object in &objects {
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (kind, name) = (word(&object["kind"]), word(&object["metadata"]["name"]));
            assert!(!kind.is_empty() && !name.is_empty(), "{path}: {object}");
            assert!(object["apiVersion"].is_string(), "{path}: {kind} {name}");
            let namespace = &object["metadata"]["namespace"];
            // What a cluster was set up with lies in a namespace that is there in every one.
            let reads_settings =
                name == "podconfig-controller-settings" && kind.starts_with("Role");
            assert!(
                namespace.is_null()
                    || namespace == "podconfig-system"
                    || reads_settings && namespace == "kube-system",
                "{path}: {kind} {name} is in {namespace}"
            );
            assert!(
                seen.insert((kind.clone(), name.clone())),
                "{path}: two {kind} {name}"
            );
        }
    }
}

/// An uninstallation must find what the keeper has installed, and leave the chain alone where the keeper does.
#[test]
fn an_uninstallation_has_the_keepers_folders_and_mode() {
    let (installed, removed) = (
        documents("install/install.yaml"),
        documents("install/uninstall.yaml"),
    );
    let args = |documents: &[Value], name: &str, list: &str, container: &str| -> BTreeSet<String> {
        let spec = &find(documents, "DaemonSet", name)["spec"]["template"]["spec"];
        let containers = spec[list].as_array().unwrap();
        let found = containers.iter().find(|found| found["name"] == container);
        let args = found.unwrap()["args"].as_array().unwrap().iter();
        let args = args.map(|arg| arg.as_str().unwrap().to_owned());
        args.filter(|arg| !arg.starts_with("--log")).collect()
    };
    let keeper = args(&installed, "podconfig-daemon", "containers", "keeper");
    let uninstall = args(
        &removed,
        "podconfig-uninstall",
        "initContainers",
        "uninstall",
    );
    let missing: Vec<_> = keeper.difference(&uninstall).collect();
    assert!(missing.is_empty(), "{missing:?} of {keeper:?}");
    assert!(keeper.contains("--mode=inline"), "{keeper:?}");
}

/// The image of a release is not built by any test, the one of the cluster's tests is.
#[test]
fn the_image_of_a_release_has_the_programs_of_the_tested_one() {
    let (release, tested) = (read("install/Containerfile"), read(".ci/e2e"));
    let of_release: BTreeSet<&str> = release
        .lines()
        .filter(|line| line.contains("cp ") && line.contains("/image/"))
        .flat_map(|line| line.split_whitespace())
        .filter_map(|word| word.strip_prefix("target/")?.rsplit('/').next())
        .collect();
    let of_test: BTreeSet<&str> = tested
        .split("_BIN:/")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert_eq!(of_release, of_test);
    assert_eq!(of_release.len(), 3, "{of_release:?}");
}

#[test]
fn chart_programs_and_images_are_of_one_version() {
    let version = env!("CARGO_PKG_VERSION");
    let chart: Value = serde_saphyr::from_str(&read("install/chart/podconfig/Chart.yaml")).unwrap();
    assert_eq!(
        (&chart["version"], &chart["appVersion"]),
        (&version.into(), &version.into())
    );
    for path in ["install/install.yaml", "install/uninstall.yaml"] {
        let text = read(path);
        let images: Vec<&str> = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("image: "))
            .collect();
        assert!(images.len() >= 3, "{path}");
        for image in images {
            assert_eq!(image, format!("localhost/podconfig:{version}"), "{path}");
        }
    }
}

/// The spec of the daemon's pod.
fn daemon_pod(path: &str) -> Value {
    find(&documents(path), "DaemonSet", "podconfig-daemon")["spec"]["template"]["spec"].clone()
}

fn list(object: &Value, member: &str) -> Vec<Value> {
    object[member].as_array().cloned().unwrap_or_default()
}

fn container(pod: &Value, name: &str) -> Value {
    let mut containers = list(pod, "containers").into_iter();
    let found = containers.find(|container| container["name"] == name);
    found.unwrap_or_else(|| panic!("there is no container {name}"))
}

/// With and without a runner.
const DAEMONS: [&str; 2] = ["install/install.yaml", "tests/install/reinvoke.yaml"];

#[test]
fn the_daemon_is_not_privileged_and_alone_has_a_token() {
    for path in DAEMONS {
        let pod = daemon_pod(path);
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert!(pod["hostPID"].is_null() && pod["hostIPC"].is_null());
        let containers = [list(&pod, "containers"), list(&pod, "initContainers")].concat();
        for container in containers {
            let name = container["name"].as_str().unwrap();
            let security = &container["securityContext"];
            let mounts = list(&container, "volumeMounts");
            let has_token = mounts.iter().any(|mount| mount["name"] == "token");
            assert_eq!(has_token, name == "daemon", "{name}");
            let is_privileged = !["daemon", "runner"].contains(&name);
            assert_eq!(security["privileged"], is_privileged, "{name}");
            assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
        }
        let capabilities = ["NET_ADMIN", "SYS_ADMIN", "NET_BROADCAST"];
        is_confined(&container(&pod, "daemon"), &capabilities);
    }
}

fn is_confined(container: &Value, capabilities: &[&str]) {
    let security = &container["securityContext"];
    assert_eq!(strings(&security["capabilities"]["drop"]), ["ALL"]);
    assert_eq!(strings(&security["capabilities"]["add"]), capabilities);
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
}

/// It may execute plugins, so it gets nothing of the cluster, and writes where plugins keep their reservations alone.
#[test]
fn the_runner_has_no_port_and_one_writable_folder_of_the_node() {
    let pod = daemon_pod(DAEMONS[1]);
    let runner = container(&pod, "runner");
    let capabilities = [
        "NET_ADMIN",
        "SYS_ADMIN",
        "NET_RAW",
        "DAC_OVERRIDE",
        "SYS_CHROOT",
    ];
    is_confined(&runner, &capabilities);
    assert!(runner["ports"].is_null() && runner["env"].is_null());
    let volumes = list(&pod, "volumes");
    let path = |mount: &Value| {
        let mut found = volumes
            .iter()
            .filter(|volume| volume["name"] == mount["name"]);
        let volume = found.next().unwrap();
        volume["hostPath"]["path"].as_str().map(str::to_owned)
    };
    let mounts = list(&runner, "volumeMounts");
    let (read_only, writable): (Vec<_>, Vec<_>) = mounts
        .iter()
        .filter_map(|mount| Some((mount, path(mount)?)))
        .partition(|(mount, _)| mount["readOnly"] == true);
    let paths = |mounts: &[(&Value, String)]| -> Vec<String> {
        mounts.iter().map(|(_, path)| path.clone()).collect()
    };
    assert_eq!(paths(&read_only), ["/"]);
    assert_eq!(read_only[0].0["mountPropagation"], "HostToContainer");
    assert_eq!(paths(&writable), ["/var/lib/cni"]);
    assert_eq!(writable[0].0["mountPath"], "/host/var/lib/cni");
}

/// Only plugins can undo what they made, so the runner is beside the uninstallation, and ends with it.
#[test]
fn an_uninstallation_has_the_runner_where_the_daemon_has_it() {
    let pod_of = |path: &str| {
        let all = documents(path);
        find(&all, "DaemonSet", "podconfig-uninstall")["spec"]["template"]["spec"].clone()
    };
    let pod = pod_of("tests/install/reinvoke-uninstall.yaml");
    let first = list(&pod, "initContainers");
    let names: Vec<_> = first
        .iter()
        .map(|container| container["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["runner", "uninstall"]);
    assert_eq!(first[0]["restartPolicy"], "Always");
    let of_daemon = container(&daemon_pod(DAEMONS[1]), "runner");
    for member in ["args", "securityContext", "volumeMounts"] {
        assert_eq!(first[0][member], of_daemon[member], "{member}");
    }
    let args = strings(&first[1]["args"]);
    assert!(
        args.iter().any(|arg| arg.starts_with("--runner-socket=")),
        "{args:?}"
    );
    let without = pod_of("install/uninstall.yaml");
    assert_eq!(list(&without, "initContainers").len(), 1);
}

/// Nothing of it is there without plugins, and the two find each other.
#[test]
fn the_runner_shares_a_socket_with_the_daemon_alone() {
    assert!(!read(DAEMONS[0]).contains("runner"));
    let pod = daemon_pod(DAEMONS[1]);
    let folder = |container: &Value| {
        let mut mounts = list(container, "volumeMounts").into_iter();
        let mount = mounts.find(|mount| mount["name"] == "runner");
        mount.map(|mount| mount["mountPath"].as_str().unwrap().to_owned())
    };
    for of in [list(&pod, "containers"), list(&pod, "initContainers")].concat() {
        let name = of["name"].as_str().unwrap();
        let is_shared = ["daemon", "runner"].contains(&name);
        assert_eq!(folder(&of).is_some(), is_shared, "{name}");
    }
    let (daemon, runner) = (container(&pod, "daemon"), container(&pod, "runner"));
    let flag = |of: &Value, name: &str| {
        let args = list(of, "args").into_iter();
        let mut values = args.filter_map(|arg| Some(arg.as_str()?.strip_prefix(name)?.to_owned()));
        values.next().unwrap()
    };
    let socket = flag(&runner, "--socket=");
    assert_eq!(flag(&daemon, "--runner-socket="), socket);
    let parent = Path::new(&socket).parent().unwrap();
    assert_eq!(folder(&daemon).as_deref(), parent.to_str());
    assert_eq!(folder(&daemon), folder(&runner));
}

/// Where the annotation is followed, the daemon keeps `network-status`: the one right that this adds.
#[test]
fn the_networks_annotation_comes_with_its_right_and_needs_no_other() {
    let follows = |path: &str| {
        let daemon = container(&daemon_pod(path), "daemon");
        let args = strings(&daemon["args"]);
        args.contains(&"--networks-annotation=match")
    };
    assert!(!follows(DAEMONS[0]) && follows(DAEMONS[1]));
    // It is rendered without the readiness gate.
    let objects = documents(DAEMONS[1]);
    let role = find(&objects, "ClusterRole", "podconfig-pod-status");
    let rules = list(role, "rules");
    assert_eq!(rules.len(), 1);
    assert_eq!(strings(&rules[0]["resources"]), ["pods/status"]);
    assert_eq!(strings(&rules[0]["verbs"]), ["patch"]);
    find(&objects, "ClusterRoleBinding", "podconfig-pod-status");
}

#[test]
fn no_role_of_a_program_reaches_what_it_does_not_need() {
    let objects = documents("install/install.yaml");
    for name in [
        "podconfig-daemon",
        "podconfig-controller",
        "podconfig-pod-status",
    ] {
        let role = find(&objects, "ClusterRole", name);
        for rule in role["rules"].as_array().unwrap() {
            let (resources, verbs) = (strings(&rule["resources"]), strings(&rule["verbs"]));
            let written = verbs
                .iter()
                .any(|verb| !["get", "list", "watch"].contains(verb));
            assert!(
                !verbs.contains(&"*") && !resources.contains(&"*"),
                "{name}: {rule}"
            );
            assert!(!verbs.contains(&"deletecollection"), "{name}: {rule}");
            assert!(!resources.contains(&"secrets"), "{name}: {rule}");
            assert!(!(written && resources.contains(&"pods")), "{name}: {rule}");
            let is_status = resources.contains(&"pods/status");
            assert_eq!(is_status, name == "podconfig-pod-status", "{name}: {rule}");
        }
    }
}

/// Whether one of the rules gives list and watch of what is asked for, and of no ConfigMap beside.
fn may_be_asked(rules: &[Value], asked: &SourceKind) -> bool {
    let name = match asked.selector {
        Selector::Named(_, name) => Some(name),
        Selector::All | Selector::Labelled(..) => None,
    };
    rules.iter().any(|rule| {
        let names = strings(&rule["resourceNames"]);
        let is_named = names.is_empty() || name.is_some_and(|name| names.contains(&name));
        let verbs = strings(&rule["verbs"]);
        strings(&rule["apiGroups"]).contains(&asked.group)
            && strings(&rule["resources"]).contains(&asked.plural)
            && ["list", "watch"].iter().all(|verb| verbs.contains(verb))
            && is_named
    })
}

#[test]
fn the_controller_may_read_where_networks_are_and_no_more_than_that() {
    let objects = documents("install/install.yaml");
    let rules = |kind: &str, name: &str| {
        find(&objects, kind, name)["rules"]
            .as_array()
            .unwrap()
            .clone()
    };
    let wide = rules("ClusterRole", "podconfig-controller");
    let settings = rules("Role", "podconfig-controller-settings");
    for asked in ALL {
        let in_kube_system = matches!(
            asked.selector,
            Selector::Named("kube-system", _) | Selector::Labelled("kube-system", _)
        );
        let may = may_be_asked(&wide, asked) || in_kube_system && may_be_asked(&settings, asked);
        assert!(may, "nobody lets the controller read {}", asked.describe());
    }
    for rule in wide.iter().chain(&settings) {
        let (resources, names) = (strings(&rule["resources"]), strings(&rule["resourceNames"]));
        assert!(
            !resources.contains(&"configmaps") || !names.is_empty(),
            "{rule}"
        );
        let is_ours = strings(&rule["apiGroups"])
            .iter()
            .all(|group| ["podconfig.dev", "events.k8s.io"].contains(group));
        let reads = strings(&rule["verbs"])
            .iter()
            .all(|verb| ["get", "list", "watch"].contains(verb));
        assert!(is_ours || reads, "{rule}");
    }
}

#[test]
fn kubernetes_own_roles_take_in_those_for_tenants_and_not_those_for_administrators() {
    let objects = documents("install/install.yaml");
    let taken_in = |name: &str| -> BTreeSet<String> {
        let labels = &find(&objects, "ClusterRole", name)["metadata"]["labels"];
        let labels = labels.as_object().unwrap().keys();
        labels
            .filter_map(|label| label.strip_prefix("rbac.authorization.k8s.io/aggregate-to-"))
            .map(str::to_owned)
            .collect()
    };
    let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(
        taken_in("podconfig-viewer"),
        set(&["view", "edit", "admin"])
    );
    assert_eq!(taken_in("podconfig-editor"), set(&["edit", "admin"]));
    assert_eq!(taken_in("podconfig-policy-admin"), set(&[]));
}

#[test]
fn every_fence_is_bound_and_closed() {
    let objects = documents("install/install.yaml");
    let fences = objects
        .iter()
        .filter(|object| object["kind"] == "ValidatingAdmissionPolicy");
    let mut names = BTreeSet::new();
    for fence in fences {
        let name = fence["metadata"]["name"].as_str().unwrap();
        // An update must never hang: a tenant can always take away, and the nodes judge in any case.
        let failing = match name {
            "podconfig-update" => "Ignore",
            _ => "Fail",
        };
        assert_eq!(fence["spec"]["failurePolicy"], failing, "{name}");
        let binding = find(&objects, "ValidatingAdmissionPolicyBinding", name);
        assert_eq!(binding["spec"]["policyName"], name);
        assert_eq!(strings(&binding["spec"]["validationActions"]), ["Deny"]);
        for rule in fence["spec"]["validations"].as_array().unwrap() {
            let told = rule["message"].is_string() || rule["messageExpression"].is_string();
            assert!(told, "{name} has words for every refusal: {rule}");
        }
        names.insert(name.to_owned());
    }
    let known = [
        "daemon-writes",
        "pod-status",
        "controller-writes",
        "address-claims",
        "create",
        "update",
        "deletions",
    ];
    assert_eq!(names, known.map(|name| format!("podconfig-{name}")).into());
}
