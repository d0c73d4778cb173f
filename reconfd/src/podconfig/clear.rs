//! Deletes all links: used when the installation is removed from this node.

use std::io;

use node::Machine;

use super::NodeReconciler;

/// Changes between observation and deletion need another round.
const ROUNDS: usize = 5;

impl NodeReconciler {
    /// Deletes everything that is not requested, and returns how many links with host ends there
    /// were. Only sensible with stores that request nothing.
    pub fn clear(mut self) -> io::Result<(usize, Machine)> {
        let before = self.host_ends_now();
        self.start()?;
        for _ in 0..ROUNDS {
            if self.host_ends_now() == 0 {
                break;
            }
            self.handle_kernel_events()?;
            self.enqueue_all();
            self.run_passes()?;
        }
        Ok((before - self.host_ends_now().min(before), self.machine))
    }

    fn host_ends_now(&self) -> usize {
        let pods = self.machine.pods_with_links();
        pods.iter().map(|uid| self.machine.ends_of(uid).len()).sum()
    }
}
