//! A PodConfig that no policy allows is refused when it is written.

use crate::support::{
    eventually,
    kubectl::{ALLOW_DELETION, apply, object, refusal, try_kubectl, try_with_input},
    manifests::{ANYWHERE, config, on_bridge, policy_of, with_address},
    tenant::Tenant,
};
use crate::wait::seen;

fn tried(tenant: &Tenant, manifest: &str) -> std::process::Output {
    try_with_input(&["-n", &tenant.name, "apply", "-f", "-"], manifest)
}

#[test]
fn an_address_that_no_policy_allows_is_refused_in_words_that_say_what_is_allowed() {
    let tenant = Tenant::new("refused");
    let forbidden = config(
        "data",
        "app: web",
        &with_address("data0", "blue", "10.51.0.1/24"),
    );
    let said = refusal(tried(&tenant, &forbidden));
    assert!(
        said.contains("10.50.0.0/16"),
        "it says not what is allowed: {said}"
    );
    let other_kind = "  - name: data0\n    veth: {hostBridge: br-lan}\n";
    refusal(tried(&tenant, &config("data", "app: web", other_kind)));
    assert!(object(&["podconfig", "-n", &tenant.name, "data"]).is_none());
    tenant.apply(&config(
        "data",
        "app: web",
        &with_address("data0", "blue", "10.50.0.1/24"),
    ));
}

#[test]
fn a_namespace_without_a_policy_may_ask_for_nothing() {
    let tenant = Tenant::without_policy("denied");
    let wish = config("data", "app: web", &on_bridge("data0", "blue"));
    // As long as the policy may still be on its way, the nodes alone judge.
    eventually("it is refused in good words", || {
        let words = ["-n", &tenant.name, "create", "--dry-run=server", "-f", "-"];
        let output = try_with_input(&words, &wish);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("no params found"), "{said}");
        seen(
            said.contains("no PodConfigPolicy selects this namespace; ask the administrator"),
            said,
        )
    });
}

#[test]
fn a_namespace_and_its_podconfig_in_one_file_are_taken() {
    let of_file = policy_of("one-file", "  - veth: {bridges: Own}\n")
        .replace("kubernetes.io/metadata.name: one-file", "tier: one-file");
    let wish = config("data", "app: web", &on_bridge("data0", "blue"));
    // The policy is there, or comes with them.
    for (what, policy) in [("policy", of_file.as_str()), ("nothing", "")] {
        for n in 0..5 {
            let name = format!("one-file-{what}-{n}");
            let labelled = format!(
                "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{tier: one-file}}}}\n"
            );
            let wish = wish.replace("name: data}", &format!("name: data, namespace: {name}}}"));
            apply(&[&labelled, policy, &wish].join("---\n"));
            let _ = try_kubectl(&["delete", "namespace", &name, "--wait=false"]);
        }
    }
    let _ = try_kubectl(&["annotate", "podconfigpolicy", "one-file", ALLOW_DELETION]);
    let _ = try_kubectl(&["delete", "podconfigpolicy", "one-file"]);
}

#[test]
fn what_is_no_longer_allowed_can_be_taken_away_and_nothing_added() {
    let tenant = Tenant::new("shrink");
    let pod = &tenant.stateful_set("web", 1, ANYWHERE)[0];
    let two = with_address("data0", "blue", "10.50.9.1/24") + &on_bridge("sync0", "green");
    tenant.apply(&config("data", "app: web", &two));
    tenant.is_ready("data");
    // From here on only the green bridge's link, which has no address, is allowed.
    let narrow = policy_of(&tenant.name, "  - veth: {bridges: Own}\n");
    crate::support::kubectl::apply(&narrow);
    pod.reports("data0", "NotAllowed");
    eventually("the allowance follows", || {
        let allowance = object(&["podconfigallowance", "-n", &tenant.name, "effective"]);
        let text = allowance.unwrap_or_default().to_string();
        seen(!text.contains("10.50.0.0/16"), text)
    });

    tenant.kubectl(&["label", "podconfig", "data", "note=kept"]);
    let three = format!("{two}{}", with_address("more0", "blue", "10.50.9.2/24"));
    refusal(tried(&tenant, &config("data", "app: web", &three)));
    tenant.apply(&config("data", "app: web", &on_bridge("sync0", "green")));
    pod.lacks("data0");
    pod.has("sync0");
    tenant.is_ready("data");
    tenant.withdraw("data");
}
