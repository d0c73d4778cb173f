//! Pure: which Event an occurrence belongs to. Occurrences with the same words become one series; an object
//! to which ever new things happen gets a few Events, and then one that stands for all the others.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::Notice;

/// A series that was not continued for so long has ended; the next occurrence gets a new Event.
const KEPT: Duration = Duration::from_secs(6 * 60);
/// So many Events with words of their own an object has of one reason: a tenant's edits must not fill the
/// API server's store.
const MOST_NOTES: usize = 10;
/// True of all that it stands for.
const MORE: &str = "it goes on, with more different values than are listed as Events; \
                    the PodReports say what is there now";

/// An Event that was written, and how often its note was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub name: String,
    pub count: i32,
    last: Instant,
}

impl Known {
    pub fn first(name: String, now: Instant) -> Self {
        Self {
            name,
            count: 1,
            last: now,
        }
    }

    pub fn again(&self, now: Instant) -> Self {
        Self {
            name: self.name.clone(),
            count: self.count.saturating_add(1),
            last: now,
        }
    }
}

/// What the occurrences of a series have in common, but for the note.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Subject {
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
    is_warning: bool,
    reason: String,
}

/// Where an occurrence goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    subject: Subject,
    pub note: String,
    /// The Event that has the note already.
    pub known: Option<Known>,
}

/// Series that may go on.
#[derive(Debug, Default)]
pub struct Series(HashMap<Subject, HashMap<String, Known>>);

impl Series {
    pub fn place(&mut self, notice: &Notice, now: Instant) -> Place {
        self.forget_ended(now);
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
        let is_one_too_many = notes.is_some_and(|notes| notes.len() >= MOST_NOTES);
        let note = match known(&notice.note) {
            None if is_one_too_many => MORE,
            _ => &notice.note,
        };
        Place {
            note: note.into(),
            known: known(note),
            subject,
        }
    }

    /// It was written.
    pub fn took(&mut self, place: Place, known: Known) {
        let notes = self.0.entry(place.subject).or_default();
        notes.insert(place.note, known);
    }

    fn forget_ended(&mut self, now: Instant) {
        self.0.retain(|_, notes| {
            notes.retain(|_, known| now.saturating_duration_since(known.last) < KEPT);
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
    fn write(series: &mut Series, notice: &Notice, now: Instant) -> (String, i32) {
        let place = series.place(notice, now);
        let name = format!("event of {}", place.note);
        let known = match &place.known {
            Some(known) => known.again(now),
            None => Known::first(name, now),
        };
        let written = (place.note.clone(), known.count);
        series.took(place, known);
        written
    }

    #[test]
    fn an_event_goes_on_only_for_what_says_the_same() {
        let (mut series, now) = (Series::default(), Instant::now());
        for count in 1..=3 {
            let written = write(&mut series, &notice("data0 10.99.0.33/24"), now);
            assert_eq!(written, ("data0 10.99.0.33/24".into(), count));
        }
        let written = write(&mut series, &notice("data0 10.99.0.43/24"), now);
        assert_eq!(written, ("data0 10.99.0.43/24".into(), 1));
    }

    #[test]
    fn objects_and_reasons_do_not_meet() {
        let (mut series, now) = (Series::default(), Instant::now());
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
        let (mut series, now) = (Series::default(), Instant::now());
        let mut notes = std::collections::HashSet::new();
        let mut last = (String::new(), 0);
        for number in 0..1000 {
            last = write(&mut series, &notice(&format!("data0 {number}")), now);
            notes.insert(last.0.clone());
        }
        assert_eq!(notes.len(), MOST_NOTES + 1);
        let others = 1000 - i32::try_from(MOST_NOTES).unwrap_or_default();
        assert_eq!(last, (MORE.into(), others));
        assert_eq!(
            series.0.values().map(HashMap::len).sum::<usize>(),
            MOST_NOTES + 1
        );
    }

    #[test]
    fn a_series_ends_in_time_and_is_forgotten() {
        let (mut series, now) = (Series::default(), Instant::now());
        write(&mut series, &notice("data0"), now);
        let later = now + KEPT;
        assert_eq!(write(&mut series, &notice("data0"), later).1, 1);
        let mut other = notice("data0");
        other.regarding.name = Some("web-1".into());
        series.place(&other, later + KEPT);
        assert!(series.0.is_empty());
    }
}
