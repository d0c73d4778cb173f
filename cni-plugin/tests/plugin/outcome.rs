//! What a call came to, and the few things that a runtime may expect of it.

use std::process::Output;

use serde_json::Value;

use crate::harness::{Call, Node, RESULT, VERSIONS};

pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Outcome {
    /// The pod starts, with exactly the result that came in.
    #[track_caller]
    pub fn passes_through(self) -> Self {
        self.prints(RESULT)
    }

    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        assert_eq!(
            (self.code, self.stdout.as_str()),
            (Some(0), text),
            "{}",
            self.stderr
        );
        self
    }

    #[track_caller]
    pub fn prints_nothing(self) -> Self {
        self.prints("")
    }

    #[track_caller]
    pub fn says(self, what: &str) -> Self {
        assert!(
            self.stderr.contains(what),
            "{what:?} is not in {:?}",
            self.stderr
        );
        self
    }

    /// Nothing of what is quoted may begin a line of its own.
    #[track_caller]
    pub fn keeps_to_its_lines(self) -> Self {
        assert!(
            self.stderr
                .lines()
                .all(|line| line.starts_with("podconfig-cni: ")),
            "{:?}",
            self.stderr
        );
        self
    }

    #[track_caller]
    pub fn quietly(self) -> Self {
        assert_eq!(self.stderr, "");
        self
    }

    /// The specification's error object, on stdout.
    #[track_caller]
    pub fn fails_with(self, code: u32) -> Self {
        let error: Value = serde_json::from_str(&self.stdout).unwrap();
        assert_eq!(
            (self.code, &error["code"]),
            (Some(1), &Value::from(code)),
            "{}",
            self.stdout
        );
        assert!(VERSIONS.contains(&error["cniVersion"].as_str().unwrap()));
        assert!(!error["msg"].as_str().unwrap().is_empty());
        self
    }
}

/// The pod starts, there is no record and no litter, and stderr says why.
#[track_caller]
pub fn starts_without_record(node: &Node, call: &Call, why: &str) {
    let outcome = call.run().passes_through();
    outcome
        .says(why)
        .says("starts without a record")
        .keeps_to_its_lines();
    assert_eq!(node.files(), 0);
}
