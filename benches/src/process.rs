//! What the system knows of a process (Linux): its CPU time, its memory, its
//! cores, its file descriptors.

use crate::Result;
use nix::time::ClockId;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::time::Duration;

/// CPU time that a process has used, user and system: all threads together, those
/// that have ended too, up to this moment, in nanoseconds.
///
/// This is the process's CPU clock (`clock_getcpuclockid(3)`). `/proc/PID/stat` has
/// the same in ticks of 10 ms, which is longer than a short round of a cheap
/// server; `/proc/PID/schedstat` is the main thread's alone; those of
/// `/proc/PID/task` lack the threads that have ended, and what a running thread has
/// used since the last tick.
///
/// # Errors
/// If there is no such process.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let clock = ClockId::pid_cpu_clock_id(nix::unistd::Pid::from_raw(i32::try_from(pid)?))?;
    Ok(clock.now()?.into())
}

/// CPU time that this thread has used, user and system.
///
/// # Errors
/// If the system does not tell.
pub fn thread_cpu_time() -> Result<Duration> {
    Ok(ClockId::CLOCK_THREAD_CPUTIME_ID.now()?.into())
}

/// Resident memory of a process, in kB. What the kernel holds for its sockets
/// is not in it.
///
/// # Errors
/// If there is no such process.
pub fn memory_kb(pid: u32) -> Result<f64> {
    status_kb(pid, "VmRSS:")
}

/// The most that a process has had resident since [`forget_peak`], in kB.
///
/// # Errors
/// If there is no such process.
pub fn peak_kb(pid: u32) -> Result<f64> {
    status_kb(pid, "VmHWM:")
}

/// Has the kernel begin anew with [`peak_kb`] (`clear_refs` in proc(5)).
///
/// # Errors
/// If there is no such process, or it belongs to another user.
pub fn forget_peak(pid: u32) -> Result<()> {
    Ok(std::fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

fn status_kb(pid: u32, name: &str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kb = line.and_then(|line| line.split_whitespace().next());
    Ok(kb.ok_or_else(|| format!("`status` has no `{name}`"))?.parse()?)
}

/// Lets this thread, and those that it starts from now on, take only what others
/// leave of the core.
///
/// # Errors
/// If the system refuses.
pub fn step_back() -> Result<()> {
    // On Linux "this process" is this thread.
    Ok(rustix::process::setpriority_process(None::<Pid>, 19)?)
}

/// Two different cores that this process may use, for who serves and who asks;
/// `None` if there is only one.
///
/// # Errors
/// If the system does not tell.
pub fn two_cores() -> Result<Option<(usize, usize)>> {
    let allowed = sched_getaffinity(None)?;
    let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
    Ok(cores.next().zip(cores.next()))
}

/// Ties this thread, and the threads and processes that it starts from now on,
/// to one core.
///
/// # Errors
/// If the system refuses.
pub fn stay_on(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None::<Pid>, &set)?)
}

/// Raises the limit on open files to `wanted`, here and in processes that are
/// started from now on.
///
/// # Errors
/// If the hard limit is lower: only an administrator can raise that.
pub fn allow_open_files(wanted: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    if let Some(maximum) = limit.maximum.filter(|maximum| *maximum < wanted) {
        return Err(format!(
            "this needs {wanted} open files in one process, and the hard limit is {maximum}: use fewer \
             --connections, or raise it (`ulimit -Hn {wanted}` as root, or `nofile` in limits.conf)"
        )
        .into());
    }
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_time() {
        let pid = std::process::id();
        assert!(memory_kb(pid).unwrap() > 100.0);
        let before = cpu_time(pid).unwrap();
        let mut spun = 0_u64;
        while cpu_time(pid).unwrap() == before {
            spun += 1;
            assert!(spun < 10_000_000, "the CPU time of a busy process stands still");
        }
    }

    #[test]
    fn cpu_time_is_finer_than_a_tick_and_keeps_threads_that_have_ended() {
        let pid = std::process::id();
        let spin = move |least: Duration| {
            let before = cpu_time(pid).unwrap();
            while cpu_time(pid).unwrap() - before < least {}
        };
        let before = cpu_time(pid).unwrap();
        std::thread::spawn(move || spin(Duration::from_millis(3))).join().unwrap();
        let after = cpu_time(pid).unwrap();
        assert!(after - before >= Duration::from_millis(3), "a thread has ended and taken its time along");
        spin(Duration::from_micros(50));
        assert!(cpu_time(pid).unwrap() > after);
        assert!(cpu_time(u32::MAX).is_err());
    }

    #[test]
    fn a_limit_that_cannot_be_raised_says_what_to_do() {
        let error = allow_open_files(u64::MAX - 1).map_err(|error| error.to_string());
        // Without a hard limit there is nothing to refuse.
        assert!(error.is_ok() || error.unwrap_err().contains("--connections"));
    }
}
