//! What the limits of `main` and of a job mean together, old spellings included.

use crate::config::raw;
use crate::plan::{IoNice, Limits};
use crate::stream::Bucket;

/// Limits that `main` sets for every job.
#[derive(Clone, Copy, Default)]
pub(crate) struct Common {
    /// Bytes a second for each storage.
    pub(crate) net: Option<u64>,
    /// Bytes a second for each `local` storage without a limit of its own.
    pub(crate) local: Option<u64>,
    limits: raw::Limits,
    read: Option<u64>,
    weight: Option<u32>,
}

impl Common {
    /// Takes them from `main`; what the job sets goes before.
    pub(crate) fn of(main: &raw::Main) -> Self {
        let mut limits = main.limits.unwrap_or_default();
        limits.cpu_shares = limits.cpu_shares.or(main.cpu_shares);
        let megabytes = |value: Option<u64>| {
            value.map(|value| value.saturating_mul(MEGABYTE)).filter(|rate| *rate > 0)
        };
        Self {
            net: limits.net.map(|net| net.0),
            local: megabytes(main.block_io_write),
            read: megabytes(main.block_io_read),
            weight: main.blkio_weight,
            limits,
        }
    }

    /// Returns what holds for a job.
    pub(crate) fn of_job(&self, job: Option<raw::Limits>) -> Limits {
        let (own, common) = (job.unwrap_or_default(), self.limits);
        let disk = own.disk.or(common.disk).map(|rate| rate.0);
        let ionice = own.ionice.or(common.ionice).or(self.weight.and_then(of_weight));
        Limits {
            // Who says `disk` means the stream of the job, whatever it is read from.
            read: self.read.filter(|_| disk.is_none()).map(Bucket::new),
            disk: disk.filter(|rate| *rate > 0).map(Bucket::new),
            write: self.local.filter(|_| own.net.is_none()),
            nice: own.nice.or(common.nice).map(i32::from),
            ionice: match ionice {
                None | Some(raw::IoNice::Normal) => None,
                Some(raw::IoNice::Low) => Some(IoNice::Low),
                Some(raw::IoNice::Idle) => Some(IoNice::Idle),
            },
            cpu_shares: own.cpu_shares.or(common.cpu_shares).filter(|shares| *shares > 0),
            blkio_weight: self.weight,
        }
    }
}

impl Limits {
    /// Returns the niceness to take; without a control group also what stands for `cpu_shares`.
    pub fn niceness(&self, has_group: bool) -> Option<i32> {
        let shares = self.cpu_shares.filter(|_| !has_group).map(nice_of);
        self.nice.or(shares).filter(|nice| *nice > 0)
    }
}

/// A weight of 500 is that of any other program.
fn of_weight(weight: u32) -> Option<raw::IoNice> {
    match weight {
        0..100 => Some(raw::IoNice::Idle),
        100..500 => Some(raw::IoNice::Low),
        _ => None,
    }
}

/// Each step of niceness is a share 1.25 times smaller, and 1024 is niceness 0.
fn nice_of(shares: u32) -> i32 {
    let steps = (1024.0 / f64::from(shares.max(1))).ln() / 1.25_f64.ln();
    (steps.round() as i32).clamp(0, 19)
}

const MEGABYTE: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Size;

    #[test]
    fn shares_of_a_processor_are_steps_of_niceness() {
        let table = [(1024, 0), (2048, 0), (820, 1), (512, 3), (128, 9), (15, 19), (2, 19)];
        for (shares, nice) in table {
            assert_eq!(nice_of(shares), nice, "{shares}");
        }
    }

    #[test]
    fn a_job_goes_before_main_and_0_lifts_a_limit() {
        let limits = raw::Limits {
            disk: Some(Size(100)),
            nice: Some(5),
            ionice: Some(raw::IoNice::Idle),
            ..raw::Limits::default()
        };
        let common = Common { limits, ..Common::default() };
        let inherited = common.of_job(None);
        assert!(inherited.disk.is_some());
        assert_eq!((inherited.niceness(false), inherited.ionice), (Some(5), Some(IoNice::Idle)));
        let own = raw::Limits {
            disk: Some(Size(0)),
            nice: Some(0),
            ionice: Some(raw::IoNice::Normal),
            ..raw::Limits::default()
        };
        let lifted = common.of_job(Some(own));
        assert!(lifted.disk.is_none());
        assert_eq!((lifted.niceness(false), lifted.ionice), (None, None));
    }

    #[test]
    fn shares_become_niceness_only_where_no_group_has_them() {
        let limits = raw::Limits { cpu_shares: Some(512), ..raw::Limits::default() };
        let shared = Common { limits, ..Common::default() }.of_job(None);
        assert_eq!((shared.niceness(false), shared.niceness(true)), (Some(3), None));
        let own = raw::Limits { cpu_shares: Some(0), ..raw::Limits::default() };
        let lifted = Common { limits, ..Common::default() }.of_job(Some(own));
        assert_eq!((lifted.cpu_shares, lifted.niceness(false)), (None, None));
    }

    #[test]
    fn what_a_job_says_of_its_stream_goes_before_the_rate_of_2x() {
        let common = Common { read: Some(5), local: Some(7), ..Common::default() };
        let plain = common.of_job(None);
        assert!(plain.read.is_some() && plain.disk.is_none() && plain.write == Some(7));
        let own = raw::Limits { disk: Some(Size(9)), net: Some(Size(9)), ..raw::Limits::default() };
        let own = common.of_job(Some(own));
        assert!(own.read.is_none() && own.disk.is_some() && own.write.is_none());
        let lifted = raw::Limits { disk: Some(Size(0)), ..raw::Limits::default() };
        let lifted = common.of_job(Some(lifted));
        assert!(lifted.read.is_none() && lifted.disk.is_none());
    }

    #[test]
    fn weights_of_2x_are_classes_of_the_disk() {
        let common = |weight| Common { weight: Some(weight), ..Common::default() };
        assert_eq!(common(50).of_job(None).ionice, Some(IoNice::Idle));
        assert_eq!(common(100).of_job(None).ionice, Some(IoNice::Low));
        assert_eq!(common(1000).of_job(None).ionice, None);
    }
}
