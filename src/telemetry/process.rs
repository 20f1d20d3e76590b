//! What the process takes of the machine, as Linux tells it in `/proc/self`.

use std::fs;

/// The figures of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Figures {
    /// Processor time in user mode, in seconds.
    pub(super) cpu_user: f64,
    /// Processor time in the kernel, in seconds.
    pub(super) cpu_system: f64,
    /// Memory in use, in bytes.
    pub(super) memory: u64,
    /// Threads.
    pub(super) threads: u64,
    /// Open file descriptors.
    pub(super) descriptors: u64,
}

/// The unit of processor times in `/proc`: a constant of the interface, whatever the kernel's own.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads the figures; `None` where there is no `/proc`.
pub(super) fn figures() -> Option<Figures> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let descriptors = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    parse(&stat, &status, descriptors)
}

fn parse(stat: &str, status: &str, descriptors: u64) -> Option<Figures> {
    // The second field is the name in parentheses, and may hold anything.
    let mut after_name = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    // utime and stime are the fields 14 and 15 of proc(5).
    let cpu_user: f64 = after_name.nth(11)?.parse().ok()?;
    let cpu_system: f64 = after_name.next()?.parse().ok()?;
    let line = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.split_ascii_whitespace().next())
            .and_then(|value| value.parse::<u64>().ok())
    };
    Some(Figures {
        cpu_user: cpu_user / TICKS_PER_SECOND,
        cpu_system: cpu_system / TICKS_PER_SECOND,
        memory: line("VmRSS:")? * 1024,
        threads: line("Threads:")?,
        descriptors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_figures_whatever_the_process_is_called() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 25 0 0 20 0 4 0 100 1000 50";
        let status = "Name:\ta) b\nVmRSS:\t    2048 kB\nThreads:\t4\n";
        assert_eq!(
            parse(stat, status, 9),
            Some(Figures {
                cpu_user: 1.5,
                cpu_system: 0.25,
                memory: 2 * 1024 * 1024,
                threads: 4,
                descriptors: 9,
            })
        );
        assert!(figures().is_some_and(|figures| figures.memory > 0 && figures.descriptors > 0));
    }
}
