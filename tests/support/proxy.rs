//! A TCP proxy that does what bad networks do: cuts, stalls, refuses, delays, throttles.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A proxy in front of a server on 127.0.0.1; gone when dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    over: AtomicBool,
    refuses: AtomicBool,
    connections: AtomicU32,
    /// Bytes that went to the server since the last trouble was set.
    sent: AtomicU64,
    trouble: Mutex<Trouble>,
    delay: Mutex<Duration>,
    bytes_per_sec: AtomicU64,
    /// Counts up when every open connection is to end.
    epoch: AtomicU8,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Trouble {
    #[default]
    None,
    /// Ends the connection that carries this byte to the server, once.
    CutAt(u64),
    /// Passes nothing on in either direction from this byte on.
    StallAt(u64),
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 for the server on `port`.
    pub(crate) fn to(port: u16) -> Self {
        let state = Arc::new(State::default());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        listen(listener, port, &state);
        Self { address, state }
    }

    /// Listens on a loopback address of its own, on the same ports as the server: for protocols
    /// that name further ports. [`Proxy::port`] is the first.
    pub(crate) fn mirror(ports: impl IntoIterator<Item = u16>) -> Self {
        // Below 2 all would get the same address.
        static NEXT: AtomicU32 = AtomicU32::new(2);
        let number = std::process::id() << 8 | NEXT.fetch_add(1, Ordering::Relaxed) & 0xff;
        let [_, b, c, d] = number.to_be_bytes();
        let ip = IpAddr::V4(Ipv4Addr::new(127, b | 1, c, d.clamp(2, 254)));
        let state = Arc::new(State::default());
        let mut address = None;
        for port in ports {
            let listener = TcpListener::bind((ip, port)).unwrap();
            address.get_or_insert(listener.local_addr().unwrap());
            listen(listener, port, &state);
        }
        Self { address: address.unwrap(), state }
    }

    /// Returns the host to connect to.
    pub(crate) fn host(&self) -> String {
        self.address.ip().to_string()
    }

    /// Returns the port to connect to.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Ends, once, the connection that carries the byte number `bytes` from now to the server.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.trouble(Trouble::CutAt(bytes));
    }

    /// Passes nothing on once `bytes` more went to the server.
    pub(crate) fn stall_after(&self, bytes: u64) {
        self.trouble(Trouble::StallAt(bytes));
    }

    /// Refuses new connections, or takes them again.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.state.refuses.store(refuses, Ordering::Relaxed);
    }

    /// Ends every open connection.
    pub(crate) fn cut_all(&self) {
        self.state.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// Lets each byte take half of `round_trip` in either direction, for new connections.
    pub(crate) fn round_trip(&self, round_trip: Duration) {
        *self.state.delay.lock().unwrap_or_else(PoisonError::into_inner) = round_trip / 2;
    }

    /// Lets at most so many bytes a second pass on each connection and direction; 0 for no limit.
    pub(crate) fn rate(&self, bytes_per_sec: u64) {
        self.state.bytes_per_sec.store(bytes_per_sec, Ordering::Relaxed);
    }

    /// Takes every trouble back.
    pub(crate) fn heal(&self) {
        self.trouble(Trouble::None);
        self.refuse(false);
    }

    /// Tells how many connections there were.
    pub(crate) fn connections(&self) -> u32 {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// Tells how many bytes went to the server since the last trouble was set.
    pub(crate) fn sent(&self) -> u64 {
        self.state.sent.load(Ordering::Relaxed)
    }

    fn trouble(&self, trouble: Trouble) {
        self.state.sent.store(0, Ordering::Relaxed);
        *self.state.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
        self.cut_all();
    }
}

fn listen(listener: TcpListener, to: u16, state: &Arc<State>) {
    listener.set_nonblocking(true).unwrap();
    let state = Arc::clone(state);
    thread::spawn(move || {
        while !state.over.load(Ordering::Relaxed) {
            match listener.accept() {
                Ok((client, _)) if state.refuses.load(Ordering::Relaxed) => drop(client),
                Ok((client, _)) => pass(client, to, &state),
                Err(_) => thread::sleep(Duration::from_millis(5)),
            }
        }
    });
}

fn pass(client: TcpStream, to: u16, state: &Arc<State>) {
    state.connections.fetch_add(1, Ordering::Relaxed);
    client.set_nonblocking(false).unwrap();
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) else { return };
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let epoch = state.epoch.load(Ordering::Relaxed);
    // What waits here is lost with the connection: much of it only where the line is long.
    let is_far = !state.delay.lock().unwrap_or_else(PoisonError::into_inner).is_zero();
    let depth = if is_far { 4096 } else { 4 };
    for (from, to, counts) in [(&client, &server, true), (&server, &client, false)] {
        let (queue, line) = sync_channel(depth);
        let (reader, other) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        let of = Arc::clone(state);
        thread::spawn(move || read(reader, &other, &queue, &of, counts, epoch));
        let (writer, of) = (to.try_clone().unwrap(), Arc::clone(state));
        thread::spawn(move || write(writer, line, &of));
    }
}

/// Reads what comes until the connection ends, is cut, or everything is over.
fn read(
    mut from: TcpStream,
    to: &TcpStream,
    queue: &SyncSender<(Instant, Vec<u8>)>,
    state: &State,
    counts: bool,
    epoch: u8,
) {
    from.set_read_timeout(Some(Duration::from_millis(20))).ok();
    let delay = *state.delay.lock().unwrap_or_else(PoisonError::into_inner);
    let mut room = vec![0; 64 << 10];
    loop {
        if state.epoch.load(Ordering::Relaxed) != epoch {
            from.shutdown(Shutdown::Both).ok();
            to.shutdown(Shutdown::Both).ok();
            return;
        }
        let got = match from.read(&mut room) {
            Ok(0) => return,
            Ok(got) => got,
            Err(error) if matches!(error.raw_os_error(), Some(11 | 4)) => continue,
            Err(_) => return,
        };
        let sent = match counts {
            true => state.sent.fetch_add(got as u64, Ordering::Relaxed) + got as u64,
            false => state.sent.load(Ordering::Relaxed),
        };
        let mut trouble = state.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match *trouble {
            Trouble::CutAt(at) if counts && sent >= at => {
                *trouble = Trouble::None;
                from.shutdown(Shutdown::Both).ok();
                to.shutdown(Shutdown::Both).ok();
                return;
            }
            Trouble::StallAt(at) if sent >= at => continue,
            _ => {}
        }
        drop(trouble);
        if queue.send((Instant::now() + delay, room[..got].to_vec())).is_err() {
            return;
        }
    }
}

fn write(mut to: TcpStream, line: Receiver<(Instant, Vec<u8>)>, state: &State) {
    for (due, bytes) in line {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let rate = state.bytes_per_sec.load(Ordering::Relaxed);
        if rate > 0 {
            thread::sleep(Duration::from_secs_f64(bytes.len() as f64 / rate as f64));
        }
        if to.write_all(&bytes).is_err() {
            return;
        }
    }
    to.shutdown(Shutdown::Write).ok();
}
