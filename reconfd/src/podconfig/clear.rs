//! All links taken away, because nobody shall have any: the end of an installation on this node.

use std::io;

use super::NodeReconciler;
use crate::node::Machine;

/// What changes between a look and a deed is looked at again.
const ROUNDS: usize = 5;

impl NodeReconciler {
    /// Takes away everything that nobody asks for, and says how many links with host ends these were. Only
    /// sensible with objects that ask for nothing.
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
