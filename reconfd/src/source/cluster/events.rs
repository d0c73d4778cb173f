//! Events on pods and PodConfigs. Those of one kind about one object become a series.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};

use super::clerk::Failure;

/// As long as the API takes them.
const LONGEST_NOTE: usize = 1000;
const LONGEST_ACTION: usize = 120;

/// Something that happened to an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    pub regarding: ObjectReference,
    pub is_warning: bool,
    pub reason: String,
    pub note: String,
    /// What tells it from others of the same reason: the links.
    pub action: String,
}

pub struct Events(Recorder);

impl Events {
    pub fn new(client: Client, node: &str) -> Self {
        let reporter = Reporter {
            controller: "podconfig.dev/reconfd".into(),
            instance: Some(node.into()),
        };
        Self(Recorder::new(client, reporter))
    }

    pub async fn publish(&self, notice: &Notice) -> Result<(), Failure> {
        let event = Event {
            type_: match notice.is_warning {
                true => EventType::Warning,
                false => EventType::Normal,
            },
            reason: notice.reason.clone(),
            note: Some(shortened(&notice.note, LONGEST_NOTE)),
            action: shortened(&notice.action, LONGEST_ACTION),
            secondary: None,
        };
        Ok(self.0.publish(&event, &notice.regarding).await?)
    }
}

impl Notice {
    pub fn about(&self) -> String {
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        let (kind, namespace, name) = (
            part(&self.regarding.kind),
            part(&self.regarding.namespace),
            part(&self.regarding.name),
        );
        format!("{kind} {namespace}/{name}")
    }
}

fn shortened(text: &str, most: usize) -> String {
    match text.len() > most {
        true => {
            let mut end = most;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            format!("{}…", &text[..end])
        }
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_note_is_cut_between_letters() {
        assert_eq!(shortened("äää", 3), "ä…");
        assert_eq!(shortened("äää", 6), "äää");
    }
}
