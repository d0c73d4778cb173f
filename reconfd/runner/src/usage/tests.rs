use super::*;

const LIMITS: UsageLimits = UsageLimits {
    memory: 100,
    processes: 50,
};

fn process(anonymous: u64) -> Process {
    Process {
        threads: 1,
        anonymous: anonymous << 10,
        ..Process::default()
    }
}

fn judge(processes: &[Process], shared: u64) -> Over {
    Usage::of(processes).judge_memory(LIMITS, || shared << 10)
}

#[test]
fn at_its_limit_a_chain_goes_on() {
    assert_eq!(judge(&[process(100)], 100), Over::No);
    assert_eq!(judge(&[process(50), process(50)], 100), Over::No);
    let at = Usage {
        processes: 50,
        ..Usage::default()
    };
    assert_eq!(at.check_processes(LIMITS), Ok(()));
}

#[test]
fn one_process_beyond_the_limit_is_enough() {
    assert_eq!(judge(&[process(1), process(101)], 0), Over::Surely);
}

/// A process that has just forked is in the sum twice.
#[test]
fn memory_that_processes_share_is_counted_once() {
    assert_eq!(judge(&[process(90), process(90)], 90), Over::No);
    assert_eq!(judge(&[process(90), process(90)], 101), Over::Probably);
}

#[test]
fn threads_count_as_processes() {
    let threads = Process {
        threads: 50,
        ..Process::default()
    };
    let usage = Usage::of(&[threads, process(0)]);
    assert_eq!(
        usage.check_processes(LIMITS),
        Err(Fault::TooManyProcesses(50))
    );
}

#[test]
fn of_a_fork_bomb_no_more_is_read_than_shows_that_it_is_one() {
    let mut read = 0;
    let bomb = std::iter::repeat_with(|| process(0)).inspect(|_| read += 1);
    let found = up_to(LIMITS.processes, bomb);
    assert_eq!(
        Usage::of(&found).check_processes(LIMITS),
        Err(Fault::TooManyProcesses(50))
    );
    assert!(read <= 52, "{read} were read");
}

#[test]
fn beyond_the_half_of_a_limit_it_is_looked_at_more_often() {
    let interval = |processes: &[Process]| Usage::of(processes).interval(LIMITS);
    assert_eq!(interval(&[process(50)]), USUAL);
    assert_eq!(interval(&[process(51)]), CLOSE);
    assert_eq!(interval(&vec![process(0); 26]), CLOSE);
}

/// Of a chain that ends at once, procfs is not read at all.
#[test]
fn the_first_look_is_not_at_once() {
    let mut watch = UsageWatch::new(LIMITS);
    let next = watch.next();
    assert_eq!(watch.look(Pid::from_raw(2)), Ok(()));
    assert_eq!((watch.next(), watch.looked), (next, false));
}
