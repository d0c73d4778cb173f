//! How many processes a jail can have at all: the hard bound to what plugins may have, for a fork bomb makes thousands
//! between two looks of process 1. It is the largest number that the kernel gives to a process, a setting of each pid
//! namespace since Linux 6.14. Before that it is one of the node, and is left alone.

use std::{fs, io, iter::successors, path::Path};

/// Once the numbers have reached this, the kernel uses no smaller one again.
const RESERVED: u64 = 300;
/// The kernel has a lower bound, which grows with the number of processors: one of 8192 has 65 536.
const MOST: u64 = 1 << 17;

/// Bounds the numbers of this namespace, whose procfs is mounted and may still be written. Where that is refused, the
/// looks of process 1 are what bounds its processes.
pub fn bound(proc: &Path, processes: u64) {
    let kernel = proc.join("sys/kernel");
    let release = fs::read_to_string(kernel.join("osrelease")).unwrap_or_default();
    if is_of_namespace(&release) {
        let path = kernel.join("pid_max");
        let _ = first_accepted(processes, |most| fs::write(&path, most.to_string()));
    }
}

/// Twice as many as plugins may have, or their end would be seen too late: what has ended has its number until then.
fn first_accepted(processes: u64, write: impl Fn(u64) -> io::Result<()>) -> io::Result<()> {
    let first = RESERVED + 2 * processes.max(1);
    let mut outcome = Ok(());
    for most in successors(Some(first), |most| (*most < MOST).then_some(most * 2)) {
        outcome = write(most);
        let is_too_small = outcome
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::InvalidInput);
        if !is_too_small {
            break;
        }
    }
    outcome
}

fn is_of_namespace(release: &str) -> bool {
    let numbers = release.split(['.', '-', '\n']);
    let mut numbers = numbers.map_while(|word| word.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 14)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn the_nodes_own_setting_is_left_alone() {
        for release in ["", "6.8.0-45-generic", "6.13.12", "5.18", "gvisor"] {
            assert!(!is_of_namespace(release), "{release}");
        }
        for release in ["6.14.0-rc1", "6.18.44-fc-v1045\n", "6.14", "7.0.1"] {
            assert!(is_of_namespace(release), "{release}");
        }
    }

    #[test]
    fn a_machine_of_many_processors_has_a_larger_bound() {
        let tried = RefCell::new(Vec::new());
        let write = |most| {
            tried.borrow_mut().push(most);
            match most < 2048 {
                true => Err(io::ErrorKind::InvalidInput.into()),
                false => Ok(()),
            }
        };
        first_accepted(256, write).unwrap();
        assert_eq!(tried.into_inner(), [812, 1624, 3248]);
    }
}
