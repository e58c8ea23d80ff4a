//! The protocol of Redis, as much of it as a replica needs to say hello.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::sources::redis::connect::Io;

/// A connection that speaks in commands and lines.
pub(super) struct Wire {
    io: Box<dyn Io>,
    /// What was read and not yet taken.
    buffer: BytesMut,
    /// How long the server may say nothing; `None` for ever.
    silence: Option<Duration>,
}

impl Wire {
    pub(super) fn new(io: Box<dyn Io>, silence: Option<Duration>) -> Self {
        Self { io, buffer: BytesMut::new(), silence }
    }

    /// Sends a command.
    pub(super) async fn send(&mut self, words: &[&str]) -> io::Result<()> {
        let mut text = format!("*{}\r\n", words.len());
        for word in words {
            text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.io.write_all(text.as_bytes()).await?;
        self.io.flush().await
    }

    /// Gives the next line that is not empty: an empty one says only that the server lives.
    pub(super) async fn line(&mut self) -> io::Result<String> {
        loop {
            let line = loop {
                match self.buffer.iter().position(|byte| *byte == b'\n') {
                    Some(end) => break self.buffer.split_to(end + 1),
                    None if self.buffer.len() > LONGEST_LINE => {
                        return Err(io::Error::other("it does not speak the protocol of Redis"));
                    }
                    None => self.fill(LONGEST_LINE).await?,
                }
            };
            let line = String::from_utf8_lossy(&line);
            if !line.trim().is_empty() {
                return Ok(line.trim_end().to_owned());
            }
        }
    }

    /// Reads more, into a buffer with room for `room` bytes; its end is an error.
    pub(super) async fn fill(&mut self, room: usize) -> io::Result<()> {
        if self.buffer.capacity() - self.buffer.len() < room / 4 {
            self.buffer.reserve(room);
        }
        let read = self.io.read_buf(&mut self.buffer);
        let read = match self.silence {
            None => read.await?,
            Some(silence) => tokio::time::timeout(silence, read).await.map_err(|_| {
                let waited = silence.as_secs();
                io::Error::other(format!("it said nothing for {waited} s (the source's `timeout`)"))
            })??,
        };
        match read {
            0 => Err(io::Error::other("it closed the connection")),
            _ => Ok(()),
        }
    }

    /// What was read and not yet taken.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Says goodbye, so that the server keeps nothing for us.
    pub(super) async fn close(mut self) {
        tokio::time::timeout(GOODBYE, self.io.shutdown()).await.ok();
    }
}

const LONGEST_LINE: usize = 4 << 10;
const GOODBYE: Duration = Duration::from_secs(5);
