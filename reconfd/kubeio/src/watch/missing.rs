//! A kind whose definition may be missing: the API server answers its list with 404, and there are no objects of it.

use std::fmt::Debug;

use futures::{Stream, StreamExt as _, stream};
use kube::{
    Resource,
    runtime::watcher::{Error, Event},
};

use super::WatchResult;

/// A list that is answered with 404 is complete and empty. The watcher goes on to list with backoff, so a definition
/// that is created later is followed.
pub fn empty_if_missing<K>(
    events: impl Stream<Item = WatchResult<K>> + Send + 'static,
) -> impl Stream<Item = WatchResult<K>> + Send
where
    K: Resource<DynamicType = ()> + Debug + Send + 'static,
{
    let mut is_missing = false;
    events.flat_map(move |result| {
        let results = match result {
            Err(error) if is_no_such_kind(&error) => {
                log_missing::<K>(&mut is_missing);
                vec![Ok(Event::Init), Ok(Event::InitDone)]
            }
            result => {
                // The start of a list is announced before its answer.
                is_missing &= matches!(result, Ok(Event::Init));
                vec![result]
            }
        };
        stream::iter(results)
    })
}

fn is_no_such_kind(error: &Error) -> bool {
    matches!(error, Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404)
}

/// Once, until it exists.
fn log_missing<K: Resource<DynamicType = ()>>(is_missing: &mut bool) {
    if !std::mem::replace(is_missing, true) {
        tracing::info!(kind = %K::plural(&()), "not installed: there are none until it is");
    }
}

#[cfg(test)]
mod tests;
