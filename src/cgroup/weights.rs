//! Shares and weights of cgroup v1, which 2.x took, as weights of v2. The usual share of one is
//! the usual weight of the other, so that a number keeps its meaning: as systemd converts them.

/// The usual weight and the largest, of `cpu.weight` and `io.weight`.
pub(super) const IO: (u64, u64) = (100, 10_000);
/// The same of `io.bfq.weight`.
pub(super) const BFQ: (u64, u64) = (100, 1_000);

/// Returns the `cpu.weight` of shares of a processor, where 1024 is the usual one.
pub(super) fn of_shares(shares: u32) -> u64 {
    scaled(shares, 1024, IO)
}

/// Returns the weight at the disks, where 500 is the usual one.
pub(super) fn of_blkio(weight: u32, scale: (u64, u64)) -> u64 {
    scaled(weight, 500, scale)
}

fn scaled(value: u32, usual: u64, (weight, most): (u64, u64)) -> u64 {
    (u64::from(value) * weight / usual).clamp(1, most)
}
