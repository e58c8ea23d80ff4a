//! Buffers that are used again: a fresh one of some MiB costs a page fault every 4 KiB.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// A pool of equal buffers. Clones share it.
#[derive(Clone, Debug)]
pub struct Buffers(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    capacity: usize,
    keep: usize,
    free: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    /// Makes a pool of buffers of `capacity` bytes that keeps at most `keep` unused ones.
    pub fn new(capacity: usize, keep: usize) -> Self {
        Self(Arc::new(Pool { capacity, keep, free: Mutex::new(Vec::new()) }))
    }

    /// Takes an empty buffer that has room for `capacity` bytes.
    pub fn take(&self) -> Vec<u8> {
        let unused = self.0.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        unused.unwrap_or_else(|| Vec::with_capacity(self.0.capacity))
    }

    /// Makes a chunk of `buffer`, which comes back to the pool once nobody holds the chunk.
    pub fn freeze(&self, buffer: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { buffer, pool: self.0.clone() })
    }
}

/// A buffer that is out as a chunk.
struct Lent {
    buffer: Vec<u8>,
    pool: Arc<Pool>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let mut free = self.pool.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < self.pool.keep {
            free.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_chunk_gives_its_buffer_back_and_the_pool_stays_small() {
        let buffers = Buffers::new(1000, 1);
        let (mut first, second) = (buffers.take(), buffers.take());
        first.extend_from_slice(b"abc");
        let place = first.as_ptr();
        let chunk = buffers.freeze(first);
        let part = chunk.slice(1..2);
        drop(chunk);
        assert_eq!(part, "b", "a slice keeps the buffer");
        drop(part);
        drop(buffers.freeze(second));
        assert_eq!(buffers.0.free.lock().unwrap().len(), 1);
        let again = buffers.take();
        assert!(again.is_empty() && again.as_ptr() == place && again.capacity() >= 1000);
    }
}
