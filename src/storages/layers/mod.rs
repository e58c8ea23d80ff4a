//! What can be put around any storage; each layer forwards every method.
//!
//! From the outside in: `Retry(Throttle(Timeout(Prefix(storage))))`. The limit lies outside the
//! timeout, or a slow limit would look like a storage that hangs.

mod flaky;
mod prefix;
mod retry;
mod throttle;
mod timeout;

pub use flaky::{Call, Fault, Flaky};
pub use prefix::Prefix;
pub use retry::{Retry, pause, step};
pub use throttle::Throttle;
pub use timeout::Timeout;
