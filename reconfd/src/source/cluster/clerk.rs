//! Who writes what is on the desk: several things at once, each until the API takes it or will never do so.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use kube::Client;
use tokio::time::{sleep, timeout};

use super::{
    desk::{ReportWish, Sink, Wish},
    events::Events,
    pods, reports,
};
use crate::{metrics::Metrics, source::Stores};

/// How many writes are under way at once.
const AT_ONCE: usize = 8;
/// A write that is not answered by then is tried again.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// After a failure the next try comes so soon, and each further one after twice the time.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

pub struct Clerk {
    pub client: Client,
    pub stores: Stores,
    pub metrics: Metrics,
    pub events: Events,
    pub sink: Sink,
}

impl Clerk {
    /// Writes for good.
    pub async fn run(&self) {
        let mut wait = FIRST_WAIT;
        loop {
            self.sink.wait().await;
            let all_went_well = self.write_all().await;
            wait = match all_went_well {
                true => FIRST_WAIT,
                false => {
                    sleep(wait).await;
                    LONGEST_WAIT.min(wait * 2)
                }
            };
        }
    }

    /// Whether everything was written that was there to be written.
    async fn write_all(&self) -> bool {
        let wishes = stream::iter(self.sink.take());
        let tries = wishes.map(|wish| async move {
            let tried = timeout(ANSWERED_WITHIN, self.write(&wish)).await;
            let went_well = match tried {
                Ok(Ok(())) => true,
                Ok(Err(why)) => self.failed(wish, why),
                Err(_) => {
                    let why = format!("no answer within {ANSWERED_WITHIN:?}");
                    self.failed(wish, Failure::Later(why))
                }
            };
            self.sink.is_answered();
            went_well
        });
        let all = tries.buffer_unordered(AT_ONCE);
        all.fold(true, |all, one| async move { all && one }).await
    }

    async fn write(&self, wish: &Wish) -> Result<(), Failure> {
        match wish {
            Wish::Report(key, ReportWish::Write(status)) => {
                reports::write(&self.client, key, status).await?;
                self.metrics.wrote("podreports");
                self.sink.has_written(key, Some((**status).clone()));
            }
            Wish::Report(key, ReportWish::Remove(uid)) => {
                reports::remove(&self.client, key, uid).await?;
                self.metrics.wrote("podreports");
                self.sink.has_written(key, None);
            }
            Wish::Pod(key, wish) => {
                let object = self.stores.pod(&key.0, &key.1);
                let is_written = pods::write(&self.client, object.as_deref(), wish).await?;
                is_written.then(|| self.metrics.wrote("pods/status"));
            }
            Wish::Notice(notice) => {
                self.events.publish(notice).await?;
                self.metrics.wrote("events");
            }
        }
        Ok(())
    }

    /// Whether that is no reason to slow down.
    fn failed(&self, wish: Wish, why: Failure) -> bool {
        let what = match &wish {
            Wish::Report((namespace, name), _) => format!("the PodReport {namespace}/{name}"),
            Wish::Pod((namespace, name), _) => format!("the status of pod {namespace}/{name}"),
            Wish::Notice(notice) => format!("an Event on {}", notice.about()),
        };
        match why {
            Failure::Pointless => true,
            Failure::Refused(why) => {
                tracing::error!("write {what}: {why}");
                self.metrics.write_refused();
                true
            }
            // Reports do not wait for a right that only something else needs.
            Failure::Forbidden(why) if !matches!(wish, Wish::Report(..)) => {
                tracing::error!("write {what}: {why}; grant the right, or turn that off");
                self.metrics.write_refused();
                true
            }
            Failure::Later(why) | Failure::Forbidden(why) => {
                tracing::warn!("write {what}: {why}; it is tried again");
                self.metrics.write_refused();
                self.sink.put_back(wish);
                false
            }
        }
    }
}

/// Why something was not written.
#[derive(Debug)]
pub enum Failure {
    /// What it is about is gone.
    Pointless,
    /// It will be refused every time.
    Refused(String),
    /// The right is not granted, or not yet.
    Forbidden(String),
    /// It may go through another time.
    Later(String),
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        let kube::Error::Api(status) = &error else {
            return Self::Later(error.to_string());
        };
        let is_terminating = status.message.contains("because it is being terminated");
        // Without the name of an object it is the definition that is missing, or about to be.
        let names_object = status.details.as_ref().is_some_and(|d| !d.name.is_empty());
        match status.code {
            404 if names_object => Self::Pointless,
            403 if is_terminating => Self::Pointless,
            403 => Self::Forbidden(status.message.clone()),
            400 | 422 => Self::Refused(status.message.clone()),
            _ => Self::Later(status.message.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::{Status, response::StatusDetails};

    use super::*;

    fn failure(code: u16, message: &str) -> Failure {
        let status = Status {
            code,
            message: message.into(),
            ..Status::default()
        };
        kube::Error::Api(Box::new(status)).into()
    }

    #[test]
    fn what_may_go_through_another_time_is_tried_again() {
        // 404 and 405: the definition is gone, or going, and is put back.
        for code in [401, 404, 405, 409, 429, 500, 503] {
            let failure = failure(code, "no");
            assert!(matches!(failure, Failure::Later(_)), "{code}");
        }
        assert!(matches!(failure(422, "bad"), Failure::Refused(_)));
        assert!(matches!(failure(403, "no"), Failure::Forbidden(_)));
    }

    #[test]
    fn nothing_is_written_about_what_is_gone() {
        let details = StatusDetails {
            name: "t".into(),
            group: String::new(),
            kind: "namespaces".into(),
            uid: String::new(),
            causes: Vec::new(),
            retry_after_seconds: 0,
        };
        let status = Status {
            code: 404,
            details: Some(details),
            ..Status::default()
        };
        let gone = Failure::from(kube::Error::Api(Box::new(status)));
        assert!(matches!(gone, Failure::Pointless));
        let going = "unable to create new content in namespace t because it is being terminated";
        assert!(matches!(failure(403, going), Failure::Pointless));
    }
}
