//! Pure: assigns an occurrence to an Event. Occurrences with the same text become one series; an object with ever new
//! texts gets a few Events, and then one that stands for all the others.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::Notice;

/// A series ends after this time without an occurrence; the next one gets a new Event.
const SERIES_TTL: Duration = Duration::from_secs(6 * 60);
/// Number of Events with different notes for one object and reason: a tenant's edits must not fill the API server's
/// store.
const MAX_NOTES: usize = 10;
/// True of all occurrences that it stands for.
const MORE: &str = "repeated with more different values than are listed as Events; \
                    see the PodReports for the current state";

/// A written Event, and how often it occurred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesEvent {
    pub name: String,
    pub count: i32,
    last: Instant,
}

impl SeriesEvent {
    pub fn first(name: String, now: Instant) -> Self {
        Self {
            name,
            count: 1,
            last: now,
        }
    }

    pub fn next(&self, now: Instant) -> Self {
        Self {
            name: self.name.clone(),
            count: self.count.saturating_add(1),
            last: now,
        }
    }
}

/// The common properties of a series, except the note.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Subject {
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
    is_warning: bool,
    reason: String,
}

/// The Event of an occurrence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    subject: Subject,
    pub note: String,
    /// The existing Event with this note.
    pub known: Option<SeriesEvent>,
}

/// Series that may continue.
#[derive(Debug, Default)]
pub struct EventSeries(HashMap<Subject, HashMap<String, SeriesEvent>>);

impl EventSeries {
    pub fn place(&mut self, notice: &Notice, now: Instant) -> Placement {
        self.remove_ended(now);
        let subject = Subject {
            kind: notice.regarding.kind.clone(),
            namespace: notice.regarding.namespace.clone(),
            name: notice.regarding.name.clone(),
            uid: notice.regarding.uid.clone(),
            is_warning: notice.is_warning,
            reason: notice.reason.clone(),
        };
        let notes = self.0.get(&subject);
        let known = |note: &str| notes.and_then(|notes| notes.get(note)).cloned();
        let is_one_too_many = notes.is_some_and(|notes| notes.len() >= MAX_NOTES);
        let note = match known(&notice.note) {
            None if is_one_too_many => MORE,
            _ => &notice.note,
        };
        Placement {
            note: note.into(),
            known: known(note),
            subject,
        }
    }

    /// Records a written Event.
    pub fn record(&mut self, place: Placement, known: SeriesEvent) {
        let notes = self.0.entry(place.subject).or_default();
        notes.insert(place.note, known);
    }

    fn remove_ended(&mut self, now: Instant) {
        self.0.retain(|_, notes| {
            notes.retain(|_, known| now.saturating_duration_since(known.last) < SERIES_TTL);
            !notes.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ObjectReference;

    use super::*;

    fn notice(note: &str) -> Notice {
        Notice {
            regarding: ObjectReference {
                name: Some("web-0".into()),
                ..ObjectReference::default()
            },
            is_warning: false,
            reason: "LinkChanged".into(),
            note: note.into(),
            action: "data0".into(),
        }
    }

    /// Writes it, and says under which note and as which of its series.
    fn write(series: &mut EventSeries, notice: &Notice, now: Instant) -> (String, i32) {
        let place = series.place(notice, now);
        let name = format!("event of {}", place.note);
        let known = match &place.known {
            Some(known) => known.next(now),
            None => SeriesEvent::first(name, now),
        };
        let written = (place.note.clone(), known.count);
        series.record(place, known);
        written
    }

    #[test]
    fn an_event_goes_on_only_for_what_says_the_same() {
        let (mut series, now) = (EventSeries::default(), Instant::now());
        for count in 1..=3 {
            let written = write(&mut series, &notice("data0 10.99.0.33/24"), now);
            assert_eq!(written, ("data0 10.99.0.33/24".into(), count));
        }
        let written = write(&mut series, &notice("data0 10.99.0.43/24"), now);
        assert_eq!(written, ("data0 10.99.0.43/24".into(), 1));
    }

    #[test]
    fn objects_and_reasons_do_not_meet() {
        let (mut series, now) = (EventSeries::default(), Instant::now());
        let first = notice("data0");
        assert_eq!(write(&mut series, &first, now).1, 1);
        let mut other = first.clone();
        other.regarding.uid = Some("its successor's".into());
        assert_eq!(write(&mut series, &other, now).1, 1);
        let mut other = first.clone();
        other.reason = "LinkRepaired".into();
        assert_eq!(write(&mut series, &other, now).1, 1);
        assert_eq!(write(&mut series, &first, now).1, 2);
    }

    #[test]
    fn what_changes_all_the_time_ends_in_one_event() {
        let (mut series, now) = (EventSeries::default(), Instant::now());
        let mut notes = std::collections::HashSet::new();
        let mut last = (String::new(), 0);
        for number in 0..1000 {
            last = write(&mut series, &notice(&format!("data0 {number}")), now);
            notes.insert(last.0.clone());
        }
        assert_eq!(notes.len(), MAX_NOTES + 1);
        let others = 1000 - i32::try_from(MAX_NOTES).unwrap_or_default();
        assert_eq!(last, (MORE.into(), others));
        assert_eq!(
            series.0.values().map(HashMap::len).sum::<usize>(),
            MAX_NOTES + 1
        );
    }

    #[test]
    fn a_series_ends_in_time_and_is_forgotten() {
        let (mut series, now) = (EventSeries::default(), Instant::now());
        write(&mut series, &notice("data0"), now);
        let later = now + SERIES_TTL;
        assert_eq!(write(&mut series, &notice("data0"), later).1, 1);
        let mut other = notice("data0");
        other.regarding.name = Some("web-1".into());
        series.place(&other, later + SERIES_TTL);
        assert!(series.0.is_empty());
    }
}
