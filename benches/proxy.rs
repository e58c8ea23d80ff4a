//! The proxy of the tests as a program, for measuring over a slow line:
//! `proxy ROUND_TRIP_MS BYTES_PER_SEC PORT…` prints the port that stands for each, and goes when
//! its standard input ends.

#[allow(dead_code)] // the tests use the rest
#[path = "../tests/support/proxy.rs"]
mod proxy;

use std::io::Read;
use std::time::Duration;

fn main() {
    let numbers: Vec<u64> =
        std::env::args().skip(1).map(|word| word.parse().expect("a number")).collect();
    let [round_trip_ms, rate, ports @ ..] = numbers.as_slice() else {
        panic!("proxy ROUND_TRIP_MS BYTES_PER_SEC PORT…");
    };
    let proxies: Vec<proxy::Proxy> =
        ports.iter().map(|port| proxy::Proxy::to(u16::try_from(*port).expect("a port"))).collect();
    for proxy in &proxies {
        proxy.round_trip(Duration::from_millis(*round_trip_ms));
        proxy.rate(*rate);
        println!("{}", proxy.port());
    }
    std::io::stdin().read_to_end(&mut Vec::new()).ok();
}
