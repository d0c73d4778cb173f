//! A namespace with a policy of its own, for one story; it goes with the story.
//! When the story fails, everything that helps is printed first.

use super::{
    kubectl::{
        ALLOW_DELETION, TIMEOUT, apply, kubectl, object, try_kubectl, try_with_input,
        wait_for_deletion,
    },
    manifests,
    pod::Pod,
    product,
};
use crate::support::eventually;
use crate::wait::seen;
use serde_json::Value;

pub struct Tenant {
    pub name: String,
}

impl Tenant {
    /// May have any bridge of its own, and any address of 10.50.0.0/16.
    pub fn new(name: &str) -> Self {
        let tenant = Self::without_policy(name);
        tenant.may(&manifests::policy(name));
        tenant
    }

    /// Has this policy, and admission knows; it allows bridges of its own.
    pub fn may(&self, policy: &str) {
        // Of a kind that was just defined the API server knows a moment later.
        eventually("the API server takes policies", || {
            let output = try_with_input(&["apply", "-f", "-"], policy);
            seen(
                output.status.success(),
                String::from_utf8_lossy(&output.stderr),
            )
        });
        self.is_allowed();
    }

    pub fn without_policy(name: &str) -> Self {
        wait_for_deletion(name);
        apply(&manifests::namespace(name));
        let name = name.to_owned();
        // Pods cannot be made before.
        eventually(&format!("{name} has its service account"), || {
            object(&["serviceaccount", "-n", &name, "default"]).ok_or(String::new())
        });
        Self { name }
    }

    /// `kubectl -n NAMESPACE WORDS…`, must succeed.
    pub fn kubectl(&self, words: &[&str]) -> String {
        kubectl(&[&["-n", &self.name], words].concat())
    }

    pub fn apply(&self, manifest: &str) -> String {
        super::kubectl::with_input(&["-n", &self.name, "apply", "-f", "-"], manifest)
    }

    /// A Deployment whose pods are labelled `app: NAME`, all available.
    pub fn deployment(&self, name: &str, replicas: u32, node: &str) -> Vec<Pod> {
        self.apply(&manifests::deployment(name, replicas, node));
        self.kubectl(&["rollout", "status", &format!("deployment/{name}"), TIMEOUT]);
        self.pods(name)
    }

    /// A StatefulSet whose pods are labelled `app: NAME`, all ready.
    pub fn stateful_set(&self, name: &str, replicas: u32, node: &str) -> Vec<Pod> {
        self.apply(&manifests::stateful_set(name, replicas, node));
        self.kubectl(&["rollout", "status", &format!("statefulset/{name}"), TIMEOUT]);
        (0..replicas)
            .map(|n| self.pod(&format!("{name}-{n}")))
            .collect()
    }

    pub fn pods(&self, app: &str) -> Vec<Pod> {
        Pod::all(&self.name, &format!("app={app}"))
    }

    pub fn pod(&self, name: &str) -> Pod {
        Pod::named(&self.name, name)
    }

    /// Waits until the API server judges PodConfigs of the namespace by its policy: it hears of policies and
    /// allowances a moment later, and after a start of its own much later.
    pub fn is_allowed(&self) {
        let asked = |links: &str| {
            let wish = manifests::config("asked", "asked: only", links);
            let words = ["-n", &self.name, "create", "--dry-run=server", "-f", "-"];
            let output = try_with_input(&words, &wish);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            (output.status.success(), said)
        };
        eventually(&format!("{} may have links", self.name), || {
            let (is_taken, said) = asked(&manifests::on_bridge("data0", "blue"));
            seen(is_taken, said)?;
            // Without an allowance everything is let in.
            let nobodys = "  - name: data0\n    veth: {hostBridge: nobody-has-it}\n";
            let (is_taken, _) = asked(nobodys);
            seen(!is_taken, "anything is let in")
        });
    }

    /// Waits until the PodConfig is Ready, as people do.
    pub fn is_ready(&self, config: &str) {
        self.waits_for(config, "condition=Ready");
    }

    pub fn waits_for(&self, config: &str, what: &str) {
        let what = format!("--for={what}");
        self.kubectl(&["wait", &what, &format!("podconfig/{config}"), TIMEOUT]);
    }

    pub fn status(&self, config: &str) -> Value {
        object(&["podconfig", "-n", &self.name, config])
            .unwrap_or_else(|| panic!("there is no PodConfig {config}"))["status"]
            .clone()
    }

    /// Waits until so many pods are selected and have their links.
    pub fn counts(&self, config: &str, selected: u64, configured: u64) {
        let what = format!("{config} says {configured} of {selected}");
        eventually(&what, || {
            let status = self.status(config);
            let got = (&status["selected"], &status["configured"]);
            seen(*got.0 == selected && *got.1 == configured, &status)
        });
    }

    /// Takes the wish back, and does not wait for anything else.
    pub fn withdraw(&self, config: &str) {
        self.kubectl(&["delete", "podconfig", config, TIMEOUT]);
    }

    /// Deletes its policy, which is in use: that takes a word more.
    pub fn withdraw_policy(&self) {
        let annotate = ["annotate", "podconfigpolicy", &self.name, "--overwrite"];
        kubectl(&[&annotate[..], &[ALLOW_DELETION]].concat());
        kubectl(&["delete", "podconfigpolicy", &self.name]);
    }

    fn tell(&self) {
        eprintln!("\n---- what there is in {} as the story ends", self.name);
        let ask: [&[&str]; 4] = [
            &["get", "pods", "-o", "wide"],
            &[
                "get",
                "podconfigs,podconfigallowances,peerslices",
                "-o",
                "yaml",
            ],
            &["get", "podreports", "-o", "yaml"],
            &["get", "events", "--sort-by=.lastTimestamp"],
        ];
        for words in ask {
            let output = try_kubectl(&[&["-n", &self.name], words].concat());
            eprintln!(
                "$ kubectl -n {} {}\n{}{}",
                self.name,
                words.join(" "),
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        product::tell();
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell();
            if std::env::var_os("PODCONFIG_TEST_HOLD").is_some() {
                eprintln!("the namespace {} is left as it is", self.name);
                return;
            }
        }
        let name = self.name.as_str();
        let _ = try_kubectl(&["annotate", "podconfigpolicy", name, ALLOW_DELETION]);
        for words in [["delete", "podconfigpolicy"], ["delete", "namespace"]] {
            let rest = [name, "--ignore-not-found", "--wait=false"];
            let _ = try_kubectl(&[&words[..], &rest].concat());
        }
    }
}
