//! The servers and the proxy that other tests lean on.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::support::proxy::Proxy;
use crate::support::server::Server;

/// Tells what an SSH server says first, if anybody is there.
fn greeting(host: &str, port: u16) -> Option<String> {
    let mut stream = TcpStream::connect((host, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut room = [0; 7];
    stream.read_exact(&mut room).ok()?;
    Some(String::from_utf8_lossy(&room).into_owned())
}

#[test]
fn a_server_lives_as_long_as_its_test() {
    let server = Server::own("sshd");
    let (port, folder) = (server.port(0), server.path(""));
    let hello = || greeting("127.0.0.1", port);
    assert_eq!(hello().as_deref(), Some("SSH-2.0"));
    for end in ["stop", "kill"] {
        server.tell(end);
        assert_eq!(hello(), None);
        server.tell("start");
        assert_eq!(hello().as_deref(), Some("SSH-2.0"));
    }
    drop(server);
    assert_eq!(hello(), None);
    assert!(!folder.exists());
}

/// A server that answers every byte with the same.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    port
}

fn ask(proxy: &Proxy, bytes: usize) -> std::io::Result<()> {
    let mut stream = TcpStream::connect((proxy.host(), proxy.port()))?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    stream.write_all(&vec![7; bytes])?;
    stream.read_exact(&mut vec![0; bytes])
}

#[test]
fn a_proxy_passes_on_cuts_stalls_refuses_and_delays() {
    let port = echo();
    let proxy = Proxy::to(port);
    ask(&proxy, 100_000).unwrap();
    proxy.cut_after(50);
    assert!(ask(&proxy, 100).is_err());
    ask(&proxy, 100).unwrap();
    proxy.stall_after(50);
    assert!(ask(&proxy, 100).is_err());
    proxy.heal();
    proxy.refuse(true);
    assert!(ask(&proxy, 100).is_err());
    proxy.heal();
    proxy.round_trip(Duration::from_millis(40));
    let begun = Instant::now();
    ask(&proxy, 100).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(40));
    assert_eq!(proxy.connections(), 5);
    let mirror = Proxy::mirror([port]);
    assert_eq!(mirror.port(), port);
    ask(&mirror, 100).unwrap();
}
