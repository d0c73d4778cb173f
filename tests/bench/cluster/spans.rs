//! Times, and what is said of many of them.

use std::time::Duration;

/// Milliseconds, in no order.
#[derive(Clone, Debug, Default)]
pub struct Spans(Vec<f64>);

impl Spans {
    pub const fn empty() -> Self {
        Self(Vec::new())
    }

    /// The same counted from a later moment.
    pub fn less(&self, span: Duration) -> Self {
        let later = span.as_secs_f64() * 1e3;
        Self(self.0.iter().map(|one| (one - later).max(0.0)).collect())
    }

    pub fn push(&mut self, span: Duration) {
        self.0.push(span.as_secs_f64() * 1e3);
    }

    /// Of every hundred so many are at most this.
    pub fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = (sorted.len() * percent).div_ceil(100).max(1) - 1;
        sorted.get(at).copied().unwrap_or(f64::NAN)
    }

    pub fn shown(&self) -> String {
        format!(
            "p50 {:.1} ms, p95 {:.1} ms",
            self.percentile(50),
            self.percentile(95)
        )
    }
}
