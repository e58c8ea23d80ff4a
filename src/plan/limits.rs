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
    weight: Option<u32>,
}

impl Common {
    /// Takes them from `main`; what the job sets goes before.
    pub(crate) fn of(main: &raw::Main) -> Self {
        let mut limits = main.limits.unwrap_or_default();
        limits.cpu_shares = limits.cpu_shares.or(main.cpu_shares);
        let megabytes = |value: Option<u64>| value.map(|value| value.saturating_mul(MEGABYTE));
        limits.disk = limits.disk.or(megabytes(main.block_io_read).map(crate::config::Size));
        Self {
            net: limits.net.map(|net| net.0),
            local: megabytes(main.block_io_write).filter(|rate| *rate > 0),
            weight: main.blkio_weight,
            limits,
        }
    }

    /// Returns what holds for a job.
    pub(crate) fn of_job(&self, job: Option<raw::Limits>) -> Limits {
        let (own, common) = (job.unwrap_or_default(), self.limits);
        let disk = own.disk.or(common.disk).map(|rate| rate.0).filter(|rate| *rate > 0);
        let shares = own.cpu_shares.or(common.cpu_shares);
        let nice = own.nice.or(common.nice).map(i32::from);
        let ionice = own.ionice.or(common.ionice).or(self.weight.and_then(of_weight));
        Limits {
            disk: disk.map(Bucket::new),
            nice: nice.or(shares.map(nice_of)).filter(|nice| *nice > 0),
            ionice: match ionice {
                None | Some(raw::IoNice::Normal) => None,
                Some(raw::IoNice::Low) => Some(IoNice::Low),
                Some(raw::IoNice::Idle) => Some(IoNice::Idle),
            },
        }
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
        assert_eq!((inherited.nice, inherited.ionice), (Some(5), Some(IoNice::Idle)));
        let own = raw::Limits {
            disk: Some(Size(0)),
            nice: Some(0),
            ionice: Some(raw::IoNice::Normal),
            ..raw::Limits::default()
        };
        let lifted = common.of_job(Some(own));
        assert!(lifted.disk.is_none());
        assert_eq!((lifted.nice, lifted.ionice), (None, None));
    }

    #[test]
    fn weights_of_2x_are_classes_of_the_disk() {
        let common = |weight| Common { weight: Some(weight), ..Common::default() };
        assert_eq!(common(50).of_job(None).ionice, Some(IoNice::Idle));
        assert_eq!(common(100).of_job(None).ionice, Some(IoNice::Low));
        assert_eq!(common(1000).of_job(None).ionice, None);
    }
}
