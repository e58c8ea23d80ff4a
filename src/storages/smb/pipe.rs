//! The bytes of a put on their way: cut into chunks, several written at the same time, each kept
//! until the server has it.
//!
//! A server that loses its power forgets what it acknowledged and had not flushed, and nothing
//! tells us that it did. So it flushes now and then, the checksums of chunks since the last flush
//! are kept, and an upload that goes on over a new connection first reads those chunks back.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use smb::File;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use crate::base::MIB;
use crate::storages::Kind;
use crate::storages::smb::errors::Trouble;
use crate::storages::smb::link::Wire;

/// What was taken from a body and is not safe on the server's disk yet.
#[derive(Default)]
pub(super) struct Pipe {
    /// What is to be cut, and how long it is together.
    rest: VecDeque<Bytes>,
    held: usize,
    /// Where the next chunk goes.
    next: u64,
    /// Chunks to be written again, since a connection broke.
    again: VecDeque<u64>,
    /// Chunks that can be filled again: fresh memory costs a page fault every 4 KiB.
    spare: Vec<Chunk>,
    /// Chunks that the server has not acknowledged.
    unacked: BTreeMap<u64, Chunk>,
    /// Chunks that the server has acknowledged, and not flushed.
    unflushed: BTreeMap<u64, Proof>,
    since_flush: usize,
    /// What the flush that is under way covers.
    flushing: Option<Vec<u64>>,
    events: FuturesUnordered<JoinHandle<Event>>,
    /// Counts acknowledged chunks.
    pub(super) progress: u64,
    ended: bool,
}

type Chunk = Arc<[u8]>;

struct Proof {
    bytes: usize,
    checksum: u64,
}

enum Event {
    Wrote(u64, u64, Result<io::Result<()>, Trouble>),
    Flushed(io::Result<()>),
}

/// Chunks of one put that are on their way: with a chunk of 1 MiB 8 MiB, and one more being
/// gathered, in memory.
const DEPTH: usize = 8;
/// Bytes between two flushes.
const STEP: usize = 32 * MIB;

impl Pipe {
    /// Adds bytes of the body.
    pub(super) fn take(&mut self, bytes: Bytes) {
        self.held += bytes.len();
        self.rest.push_back(bytes);
    }

    /// Says that the body is over.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Tells whether more of the body may be taken.
    pub(super) fn is_hungry(&self, chunk: usize) -> bool {
        !self.ended && self.held < chunk
    }

    /// Tells whether a chunk is to be written now.
    pub(super) fn is_ready(&self, chunk: usize) -> bool {
        let ripe = self.held >= chunk || self.ended && self.held > 0;
        self.written_at_once() < DEPTH && (!self.again.is_empty() || ripe)
    }

    /// Tells whether nothing is under way.
    pub(super) fn is_quiet(&self) -> bool {
        self.events.is_empty()
    }

    /// Tells whether the server has acknowledged the whole body.
    pub(super) fn is_done(&self) -> bool {
        self.ended && self.held == 0 && self.unacked.is_empty() && self.events.is_empty()
    }

    /// How many bytes were cut.
    pub(super) fn bytes(&self) -> u64 {
        self.next
    }

    /// Writes one chunk; `permit` is held until it is written.
    pub(super) fn send(
        &mut self,
        wire: &Arc<Wire>,
        file: &Arc<File>,
        permit: OwnedSemaphorePermit,
    ) {
        let (offset, data) = match self.again.pop_front() {
            Some(offset) => (offset, self.unacked[&offset].clone()),
            None => self.cut(wire.chunk),
        };
        let (wire, file) = (wire.clone(), file.clone());
        self.events.push(tokio::spawn(async move {
            let checksum = checksum(&data);
            let wrote = wire.within(write(&file, &data, offset)).await;
            drop((data, permit));
            Event::Wrote(offset, checksum, wrote)
        }));
    }

    /// Waits until something that is under way ends; must not be called when nothing is.
    pub(super) async fn event(&mut self, file: &Arc<File>, subject: &str) -> Result<(), Trouble> {
        let Some(event) = self.events.next().await else { return Ok(()) };
        match event.map_err(|error| Trouble::task(&error))? {
            Event::Wrote(offset, checksum, wrote) => {
                wrote?.map_err(|error| Trouble::io(subject, error))?;
                let chunk = self.unacked.remove(&offset);
                let bytes = chunk.as_ref().map_or(0, |chunk| chunk.len());
                self.spare.extend(chunk);
                self.unflushed.insert(offset, Proof { bytes, checksum });
                self.since_flush += bytes;
                self.progress += 1;
                if self.since_flush >= STEP && self.flushing.is_none() {
                    self.flush(file);
                }
            }
            Event::Flushed(flushed) => {
                flushed.map_err(|error| Trouble::io(subject, error))?;
                for offset in self.flushing.take().into_iter().flatten() {
                    self.unflushed.remove(&offset);
                }
            }
        }
        Ok(())
    }

    /// Lets the server bring to its disk what it has acknowledged.
    pub(super) fn flush(&mut self, file: &Arc<File>) {
        self.since_flush = 0;
        self.flushing = Some(self.unflushed.keys().copied().collect());
        let file = file.clone();
        self.events.push(tokio::spawn(async move { Event::Flushed(file.flush().await) }));
    }

    /// Prepares to go on over a new connection.
    pub(super) fn rewind(&mut self) {
        // The tasks end by themselves; what they write late is what lies there anyway.
        self.events = FuturesUnordered::new();
        self.flushing = None;
        self.again = self.unacked.keys().copied().collect();
    }

    /// Reads back what a server that lost its power may have forgotten.
    pub(super) async fn check(&self, file: &File, subject: &str) -> Result<(), Trouble> {
        for (offset, proof) in &self.unflushed {
            let mut room = vec![0; proof.bytes];
            let read = read(file, &mut room, *offset).await;
            let read = read.map_err(|error| Trouble::io(subject, error))?;
            if read < proof.bytes || checksum(&room) != proof.checksum {
                let problem = format!(
                    "{subject}: the server lost bytes that it had taken, as after a power cut; \
                     the backup must be made again"
                );
                return Err(Trouble::new(Kind::Corrupt, problem));
            }
        }
        Ok(())
    }

    fn written_at_once(&self) -> usize {
        self.unacked.len() - self.again.len()
    }

    /// Gives a chunk to fill: an old one, unless the library still holds it.
    fn room(&mut self, bytes: usize) -> Chunk {
        while let Some(mut spare) = self.spare.pop() {
            if spare.len() == bytes && Arc::get_mut(&mut spare).is_some() {
                return spare;
            }
        }
        std::iter::repeat_n(0, bytes).collect()
    }

    /// Cuts the next chunk from what is held.
    fn cut(&mut self, chunk: usize) -> (u64, Chunk) {
        let bytes = self.held.min(chunk);
        let mut data = self.room(bytes);
        let room = Arc::get_mut(&mut data).expect("it was just seen that nobody else holds it");
        let mut done = 0;
        while done < bytes {
            let first = self.rest.front_mut().expect("what is held is there");
            let taken = first.len().min(bytes - done);
            room[done..done + taken].copy_from_slice(&first.split_to(taken));
            done += taken;
            if first.is_empty() {
                self.rest.pop_front();
            }
        }
        self.held -= bytes;
        let offset = self.next;
        self.next += bytes as u64;
        self.unacked.insert(offset, data.clone());
        (offset, data)
    }
}

/// Tells bytes from others, and from zeros, that a server may have in their place.
fn checksum(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes)
}

/// Writes all of `data`; a server may take less at a time.
async fn write(file: &File, data: &Chunk, offset: u64) -> io::Result<()> {
    let mut done = file.write_block_zc(data.clone(), offset, None).await?;
    while done < data.len() {
        let more = file.write_block(&data[done..], offset + done as u64, None).await?;
        if more == 0 {
            return Err(io::Error::other("the server takes no more bytes"));
        }
        done += more;
    }
    Ok(())
}

/// Fills `room` as far as the file goes; a server may give less at a time.
pub(super) async fn read(file: &File, room: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < room.len() {
        let got = file.read_block(&mut room[done..], offset + done as u64, None, false).await?;
        if got == 0 {
            break;
        }
        done += got;
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_cut_whole_whatever_comes_in() {
        let mut pipe = Pipe::default();
        for bytes in ["", "ab", "c", "defghij", ""] {
            pipe.take(Bytes::from_static(bytes.as_bytes()));
        }
        assert!(!pipe.is_hungry(4) && pipe.is_ready(4));
        assert_eq!((&*pipe.cut(4).1, &*pipe.cut(4).1), (&b"abcd"[..], &b"efgh"[..]));
        assert!(pipe.is_hungry(4) && !pipe.is_ready(4));
        pipe.end();
        assert!(pipe.is_ready(4) && !pipe.is_done());
        let (offset, last) = pipe.cut(4);
        assert_eq!((offset, &*last, pipe.bytes()), (8, &b"ij"[..], 10));
    }

    #[test]
    fn what_was_not_acknowledged_is_written_again_in_order() {
        let mut pipe = Pipe::default();
        pipe.take(Bytes::from_static(b"abcdefghi"));
        (0..3).for_each(|_| drop(pipe.cut(3)));
        pipe.unacked.remove(&3);
        pipe.rewind();
        assert_eq!(pipe.again, [0, 6]);
        assert!(pipe.is_ready(3) && pipe.written_at_once() == 0);
    }
}
