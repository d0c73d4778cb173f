//! Events on pods and PodConfigs. Repeated occurrences with the same text on the same object become one series.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::write_error::WriteError;
use series::{EventSeries, Placement, SeriesEvent};

/// Pure: assigns an occurrence to an Event.
mod series;

/// Length limits of the API.
const MAX_NOTE: usize = 1000;
const MAX_ACTION: usize = 120;
/// The rest of 253 characters after a dot and a timestamp.
const MAX_NAME: usize = 230;

/// An occurrence to publish as an Event.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    pub regarding: ObjectReference,
    pub is_warning: bool,
    pub reason: String,
    /// Must be true of each occurrence with the same text: of a series, the API keeps the first note.
    pub note: String,
    /// The links that it is about.
    pub action: String,
}

pub struct Events {
    client: Client,
    /// The reporting controller.
    controller: String,
    node: String,
    series: Mutex<EventSeries>,
}

impl Events {
    pub fn new(client: Client, controller: &str, node: &str) -> Self {
        Self {
            client,
            controller: controller.into(),
            node: node.into(),
            series: Mutex::default(),
        }
    }

    pub async fn publish(&self, notice: &Notice) -> Result<(), WriteError> {
        let place = self.series().place(notice, Instant::now());
        let known = match &place.known {
            Some(known) => match self.continue_series(notice, known).await? {
                Some(known) => known,
                // The Event was deleted or has expired.
                None => self.create(notice, &place).await?,
            },
            None => self.create(notice, &place).await?,
        };
        self.series().record(place, known);
        Ok(())
    }

    async fn create(&self, notice: &Notice, place: &Placement) -> Result<SeriesEvent, WriteError> {
        let event = event(
            notice,
            &place.note,
            (&self.controller, &self.node),
            Timestamp::now(),
        );
        let name = event.metadata.name.clone().unwrap_or_default();
        let api = self.api(notice);
        api.create(&PostParams::default(), &event).await?;
        Ok(SeriesEvent::first(name, Instant::now()))
    }

    /// `None`: the Event does not exist any more.
    async fn continue_series(
        &self,
        notice: &Notice,
        known: &SeriesEvent,
    ) -> Result<Option<SeriesEvent>, WriteError> {
        let known = known.next(Instant::now());
        let series = json!({"count": known.count, "lastObservedTime": MicroTime(Timestamp::now())});
        let patch = Patch::Merge(json!({"series": series}));
        let params = PatchParams::default();
        match self.api(notice).patch(&known.name, &params, &patch).await {
            Ok(_) => Ok(Some(known)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn api(&self, notice: &Notice) -> Api<Event> {
        let namespace = notice.regarding.namespace.as_deref();
        Api::namespaced(self.client.clone(), namespace.unwrap_or("default"))
    }

    fn series(&self) -> MutexGuard<'_, EventSeries> {
        // Every change is atomic, so a panic leaves no partial state.
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first Event of a series, or the only one.
fn event(notice: &Notice, note: &str, (controller, node): (&str, &str), now: Timestamp) -> Event {
    let subject = notice.regarding.name.as_deref().unwrap_or(controller);
    let subject: String = subject.chars().take(MAX_NAME).collect();
    let subject = subject.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    let kind = match notice.is_warning {
        true => "Warning",
        false => "Normal",
    };
    Event {
        metadata: ObjectMeta {
            namespace: notice.regarding.namespace.clone(),
            name: Some(format!("{subject}.{:x}", now.as_nanosecond())),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        type_: Some(kind.into()),
        reason: Some(notice.reason.clone()),
        note: Some(shortened(note, MAX_NOTE)),
        action: Some(shortened(&notice.action, MAX_ACTION)),
        regarding: Some(notice.regarding.clone()),
        reporting_controller: Some(controller.into()),
        reporting_instance: Some(node.into()),
        ..Event::default()
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

    #[test]
    fn the_name_of_an_event_is_one_whatever_the_object_is_called() {
        let mut notice = Notice {
            regarding: ObjectReference::default(),
            is_warning: false,
            reason: "LinkAdded".into(),
            note: String::new(),
            action: String::new(),
        };
        for name in [
            "web-0".to_owned(),
            format!("{}.{}", "a".repeat(229), "b".repeat(23)),
        ] {
            notice.regarding.name = Some(name);
            let event = event(
                &notice,
                "",
                ("podconfig.dev/reconfd", "n0"),
                Timestamp::now(),
            );
            let name = event.metadata.name.unwrap_or_default();
            assert!(name.len() <= 253, "{name}");
            assert!(!name.contains(".."), "{name}");
        }
    }
}
