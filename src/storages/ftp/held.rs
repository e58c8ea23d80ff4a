//! The end of an upload, kept until the server has it for certain.

use std::collections::VecDeque;

use bytes::Bytes;

/// The last bytes that were sent: a connection that breaks loses what was on its way.
///
/// Units: between [`HELD`] bytes and that and one chunk, for each put.
#[derive(Debug, Default)]
pub(super) struct Held {
    chunks: VecDeque<Bytes>,
    /// Where in the upload the first chunk begins.
    start: u64,
    /// Where the last one ends.
    end: u64,
}

impl Held {
    /// Adds what is sent now, and lets go of what is long sent.
    pub(super) fn push(&mut self, chunk: Bytes) {
        self.end += chunk.len() as u64;
        self.chunks.push_back(chunk);
        while let Some(first) = self.chunks.front()
            && self.end - self.start - first.len() as u64 >= HELD
        {
            self.start += first.len() as u64;
            self.chunks.pop_front();
        }
    }

    /// Tells how many bytes were sent.
    pub(super) fn sent(&self) -> u64 {
        self.end
    }

    /// Gives what follows the first `offset` bytes; `None` when it is not held any more, or never
    /// was sent.
    pub(super) fn since(&self, offset: u64) -> Option<Vec<Bytes>> {
        if offset < self.start || offset > self.end {
            return None;
        }
        let mut skip = offset - self.start;
        let mut rest = Vec::new();
        for chunk in &self.chunks {
            let length = chunk.len() as u64;
            if skip < length {
                rest.push(chunk.slice(skip as usize..));
            }
            skip = skip.saturating_sub(length);
        }
        Some(rest)
    }
}

/// More than the buffers of both systems can hold on an ordinary line: 4 and 6 MiB on Linux.
const HELD: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_last_can_be_sent_again() {
        let mut held = Held::default();
        assert_eq!(held.since(0), Some(vec![]));
        for text in ["abc", "de", "fgh"] {
            held.push(Bytes::from(text));
        }
        let since = |offset| held.since(offset).map(|rest| rest.concat());
        assert_eq!(held.sent(), 8);
        for (offset, rest) in ["abcdefgh", "bcdefgh", "cdefgh", "defgh"].into_iter().enumerate() {
            assert_eq!(since(offset as u64), Some(rest.into()));
        }
        assert_eq!(since(8), Some(vec![]));
        assert_eq!(since(9), None);
    }

    #[test]
    fn only_so_much_is_held() {
        let mut held = Held::default();
        let chunk = Bytes::from(vec![7; 5 << 20]);
        for _ in 0..10 {
            held.push(chunk.clone());
        }
        assert_eq!((held.start, held.sent()), (30 << 20, 50 << 20));
        assert_eq!(held.since((30 << 20) - 1), None);
        assert_eq!(held.since(30 << 20).map(|rest| rest.len()), Some(4));
    }
}
