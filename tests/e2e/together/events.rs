//! What Events say is true, of each occurrence that they stand for.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;

use crate::{
    support::{
        eventually,
        kubectl::{list, object},
        manifests::{ANYWHERE, config, pod_running, with_address},
        tenant::Tenant,
    },
    wait::{seen, within},
};

/// The Events about an object, with this reason.
fn events(tenant: &Tenant, (kind, name): (&str, &str), reason: &str) -> Vec<Value> {
    let selector =
        format!("--field-selector=involvedObject.kind={kind},involvedObject.name={name}");
    let events = list(&["events", "-n", &tenant.name, &selector]).into_iter();
    events.filter(|event| event["reason"] == reason).collect()
}

fn notes(events: &[Value]) -> BTreeSet<String> {
    let notes = events.iter().filter_map(|event| event["message"].as_str());
    notes.map(str::to_owned).collect()
}

#[test]
fn each_edit_of_an_address_is_told_as_a_change_to_that_address() {
    let tenant = Tenant::new("edits");
    let pod = &tenant.stateful_set("web", 1, ANYWHERE)[0];
    let write = |number: u32| {
        let address = format!("10.50.9.{number}/24");
        let links = with_address("data0", "blue", &address);
        tenant.apply(&config("data", "app: web", &links));
        address
    };
    write(1);
    pod.has("data0");
    tenant.is_ready("data");
    let mut expected = BTreeSet::new();
    // Not one after the other as fast as it goes: each is to be seen in the pod.
    for number in 2..8 {
        let address = write(number);
        eventually(&format!("the pod has {address}"), || {
            let link = pod.link("data0").ok_or("no link")?;
            seen(
                link.to_string().contains(&format!("\"10.50.9.{number}\"")),
                link,
            )
        });
        expected.insert(format!("data0 {address}"));
    }
    let about = ("Pod", pod.name.as_str());
    eventually("each address has an Event of its own", || {
        let told = notes(&events(&tenant, about, "LinkChanged"));
        seen(told == expected, format!("{told:?}"))
    });
    for reason in ["LinkRepaired", "BackingOff"] {
        let told = events(&tenant, about, reason);
        assert!(told.is_empty(), "{told:?}");
    }
    let of_config = notes(&events(&tenant, ("PodConfig", "data"), "LinkChanged"));
    for note in expected {
        assert!(
            of_config.iter().any(|told| told.ends_with(&note)),
            "{of_config:?}"
        );
    }
}

/// As the pods of a Job do.
#[test]
fn a_pod_that_completes_ends_without_a_word() {
    let tenant = Tenant::new("completes");
    tenant.apply(&config(
        "data",
        "app: job",
        &with_address("data0", "blue", "10.50.10.1/24"),
    ));
    tenant.apply(&pod_running("job", "[sleep, \"5\"]"));
    eventually("the pod gets its link", || {
        let told = notes(&events(&tenant, ("Pod", "job"), "LinkAdded"));
        seen(!told.is_empty(), format!("{told:?}"))
    });
    within(Duration::from_secs(60), "the pod has completed", || {
        let pod = object(&["pod", "-n", &tenant.name, "job"]).ok_or("no pod")?;
        seen(pod["status"]["phase"] == "Succeeded", &pod["status"])
    });
    eventually("its report is gone", || {
        let report = object(&["podreport", "-n", &tenant.name, "job"]);
        seen(report.is_none(), format!("{report:?}"))
    });
    for about in [("Pod", "job"), ("PodConfig", "data")] {
        let told = events(&tenant, about, "NoRecord");
        assert!(told.is_empty(), "{told:?}");
    }
}
