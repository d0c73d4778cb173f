//! A namespace with policies of its own; it goes with the story.

use std::{
    collections::BTreeMap,
    io::Write as _,
    process::{Command, Stdio},
    sync::LazyLock,
    time::Duration,
};

use policy::admission_cost::fits_admission;
use serde_json::{Value, json};

use crate::wait::within;

/// An API server needs a while until a new policy is in force, and longer when the machine is busy.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// As many rules as one policy holds.
const RULES_IN_A_POLICY: usize = 64;

/// Where one is, it writes the allowances.
static IS_A_CONTROLLER_THERE: LazyLock<bool> = LazyLock::new(|| {
    let deployment = [
        "get",
        "deployment",
        "podconfig-controller",
        "--ignore-not-found",
    ];
    let words = [&deployment[..], &["-n", "podconfig-system", "-o", "name"]].concat();
    !kubectl(&words).trim().is_empty()
});

pub struct Tenant {
    pub name: String,
    policies: Vec<String>,
}

impl Tenant {
    pub fn without_policy(name: &str) -> Self {
        let tenant = Self::made(name, Vec::new());
        if !*IS_A_CONTROLLER_THERE {
            create(&tenant.allowance(&[], None));
        }
        tenant
    }

    /// May have what these rules allow, and sees it.
    pub fn new(name: &str, allow: &Value, limits: Option<Value>) -> Self {
        let rules = allow.as_array().expect("rules");
        let mut parts: Vec<&[Value]> = rules.chunks(RULES_IN_A_POLICY).collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        let policy = |(number, part): (usize, &[Value])| {
            policy_of(&format!("{name}-{number}"), name, part, limits.as_ref())
        };
        let policies: Vec<Value> = parts.into_iter().enumerate().map(policy).collect();
        let tenant = Self::made(name, policies);
        if !*IS_A_CONTROLLER_THERE {
            create(&tenant.allowance(rules, limits));
        }
        tenant.sees(rules.len());
        tenant
    }

    fn made(name: &str, policies: Vec<Value>) -> Self {
        let names = policies
            .iter()
            .map(|policy| policy["metadata"]["name"].as_str());
        let names = names.map(|name| name.expect("a name").to_owned()).collect();
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        create(&list([vec![namespace], policies].concat()));
        Self {
            name: name.to_owned(),
            policies: names,
        }
    }

    /// The one policy allows something else from now on.
    pub fn narrow(&self, allow: &Value) {
        let rules = allow.as_array().expect("rules");
        replace(&policy_of(&self.policies[0], &self.name, rules, None));
        if !*IS_A_CONTROLLER_THERE {
            replace(&self.allowance(rules, None));
        }
    }

    /// No policy selects the namespace any more, but there are PodConfigs.
    pub fn withdraw(&mut self) {
        self.delete_policies();
        if !*IS_A_CONTROLLER_THERE {
            replace(&self.allowance(&[], None));
        }
        within(PATIENCE, "the allowance is empty", || {
            let left = &self.effective()["spec"]["policies"];
            match left.as_array().is_none_or(Vec::is_empty) {
                true => Ok(()),
                false => Err(left.to_string()),
            }
        });
        self.sees(0);
    }

    /// What is said to a PodConfig of these links, which is not made.
    pub fn says(&self, name: &str, links: &[Value]) -> Result<(), String> {
        let mut said = self.says_of_all(&[(name.to_owned(), links.to_vec())]);
        said.remove(name).expect("an answer")
    }

    /// The same of many, each by its name.
    pub fn says_of_all(
        &self,
        configs: &[(String, Vec<Value>)],
    ) -> BTreeMap<String, Result<(), String>> {
        let items: Vec<Value> = configs
            .iter()
            .map(|(name, links)| self.config(name, links))
            .collect();
        let (_, said) = run(
            &["create", "--validate=ignore", "--dry-run=server", "-f", "-"],
            Some(&list(items)),
        );
        let answer = |(name, _): &(String, Vec<Value>)| {
            let refused = format!("\"{name}\" is ");
            let made = format!("podconfig.podconfig.dev/{name} created");
            let line = said
                .lines()
                .find(|line| line.contains(&refused) || line.starts_with(&made))
                .unwrap_or_else(|| panic!("nothing is said to {name}: {said}"));
            (
                name.clone(),
                if line.starts_with(&made) {
                    Ok(())
                } else {
                    Err(words_of(line))
                },
            )
        };
        configs.iter().map(answer).collect()
    }

    /// Refused in exactly these words, once the API server has heard of what is allowed. By a name that
    /// nobody has: one that is there would be refused for that.
    pub fn is_told(&self, links: &[Value], words: &str) {
        within(PATIENCE, words, || match self.says("asked", links) {
            Err(said) if said == words => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }

    /// All that an API server says to a PodConfig that it does not take, line by line.
    pub fn is_refused(&self, links: &[Value]) -> String {
        said_of(&self.config("asked", links)).expect_err("this was to be refused")
    }

    pub fn create(&self, name: &str, links: &[Value]) {
        create(&self.config(name, links));
    }

    /// A controller may write the status between what `kubectl` reads and what it writes: then once more.
    pub fn replace(&self, name: &str, links: &[Value]) -> Result<(), String> {
        loop {
            match run(&["replace", "-f", "-"], Some(&self.config(name, links))) {
                (true, _) => return Ok(()),
                (false, said) if said.contains("the object has been modified") => {}
                (false, said) => return Err(words_of(&said)),
            }
        }
    }

    /// `kubectl -n NAMESPACE WORDS…`, must succeed.
    pub fn kubectl(&self, words: &[&str]) -> String {
        kubectl(&[&["-n", &self.name], words].concat())
    }

    fn config(&self, name: &str, links: &[Value]) -> Value {
        json!({"apiVersion": "podconfig.dev/v1alpha1", "kind": "PodConfig",
            "metadata": {"name": name, "namespace": self.name},
            "spec": {"podSelector": {"matchLabels": {"app": "nobody"}}, "links": links}})
    }

    fn allowance(&self, allow: &[Value], limits: Option<Value>) -> Value {
        let rules: Vec<crds::policy::Rule> =
            serde_json::from_value(Value::from(allow)).expect("rules");
        json!({"apiVersion": "podconfig.dev/v1alpha1", "kind": "PodConfigAllowance",
            "metadata": {"name": "effective", "namespace": self.name},
            "spec": {"policies": self.policies, "allow": allow, "limits": limits.unwrap_or(json!({})),
                "complete": fits_admission(&rules), "summary": {"rules": allow.len()}}})
    }

    fn effective(&self) -> Value {
        let words = [
            "get",
            "podconfigallowance",
            "effective",
            "--ignore-not-found",
            "-o",
            "json",
        ];
        serde_json::from_str(&self.kubectl(&words)).unwrap_or_default()
    }

    /// The allowance has so many rules, and the API server judges by it.
    fn sees(&self, rules: usize) {
        within(PATIENCE, &format!("an allowance of {rules} rules"), || {
            let spec = &self.effective()["spec"];
            match spec["allow"].as_array().map(Vec::len) == Some(rules) {
                true => Ok(()),
                false => Err(spec["summary"].to_string()),
            }
        });
        // An API server knows of policies and allowances a moment later than of what was just written.
        let nobodys = [json!({"name": "n", "veth": {"hostBridge": "nobody-has-it"}})];
        let complete = self.effective()["spec"]["complete"] == true;
        within(PATIENCE, "admission judges by it", || {
            match self.says("probe", &nobodys) {
                Ok(()) if complete => Err("anything is let through".to_owned()),
                _ => Ok(()),
            }
        });
    }

    fn delete_policies(&mut self) {
        let mut words = vec!["delete", "podconfigpolicies", "--ignore-not-found"];
        words.extend(self.policies.iter().map(String::as_str));
        if !self.policies.is_empty() {
            let mut allow = vec!["annotate", "podconfigpolicies"];
            allow.extend(self.policies.iter().map(String::as_str));
            allow.push("podconfig.dev/allow-deletion=true");
            run(&allow, None);
            run(&words, None);
        }
        self.policies.clear();
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        self.delete_policies();
        run(&["delete", "namespace", &self.name, "--wait=false"], None);
    }
}

fn list(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

fn policy_of(name: &str, namespace: &str, allow: &[Value], limits: Option<&Value>) -> Value {
    json!({"apiVersion": "podconfig.dev/v1alpha1", "kind": "PodConfigPolicy", "metadata": {"name": name},
        "spec": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "allow": allow, "limits": limits.cloned().unwrap_or(json!({}))}})
}

/// What an API server says to an object, which is not made.
pub fn said_of(object: &Value) -> Result<(), String> {
    let words = ["create", "--validate=ignore", "--dry-run=server", "-f", "-"];
    match run(&words, Some(object)) {
        (true, _) => Ok(()),
        (false, said) => Err(said),
    }
}

/// Must succeed; what it prints.
pub fn kubectl(words: &[&str]) -> String {
    let (went_well, said) = run(words, None);
    assert!(went_well, "kubectl {}: {said}", words.join(" "));
    said
}

fn create(object: &Value) {
    let (went_well, said) = run(&["create", "--validate=ignore", "-f", "-"], Some(object));
    assert!(went_well, "{said}");
}

fn replace(object: &Value) {
    let (went_well, said) = run(&["replace", "-f", "-"], Some(object));
    assert!(went_well, "{said}");
}

/// What admission said, without who said it.
fn words_of(line: &str) -> String {
    let said = line
        .split_once("denied request: ")
        .map_or(line, |(_, said)| said);
    said.trim().to_owned()
}

/// Whether it went well, and all that it printed.
fn run(words: &[&str], input: Option<&Value>) -> (bool, String) {
    let mut child = Command::new("kubectl")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl is in PATH");
    let mut pipe = child.stdin.take().expect("stdin is piped");
    if let Some(input) = input {
        pipe.write_all(input.to_string().as_bytes())
            .expect("kubectl reads");
    }
    drop(pipe);
    let output = child.wait_with_output().expect("kubectl ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.success(),
        text(&output.stdout) + &text(&output.stderr),
    )
}
