//! Servers that do what real ones seldom do: cut, damaged and late dumps, Valkey's magic.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use crc_fast::{CrcAlgorithm, Digest};

use crate::live::redis::{bed, job, manifest};

/// Listens, says OK to every command, and to PSYNC what `answer` writes; then hangs up, or waits
/// for ever where `stays`.
fn serves(answer: Vec<Vec<u8>>, stays: bool) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            talk(&mut stream.unwrap(), &answer, stays);
        }
    });
    port
}

fn talk(stream: &mut TcpStream, answer: &[Vec<u8>], stays: bool) {
    let mut command = [0; 4096];
    loop {
        let length = stream.read(&mut command).unwrap_or(0);
        if length == 0 {
            return;
        }
        if !command[..length].windows(5).any(|word| word == b"PSYNC") {
            stream.write_all(b"+OK\r\n").unwrap();
            continue;
        }
        for part in answer {
            stream.write_all(part).ok();
            thread::sleep(std::time::Duration::from_millis(20));
        }
        if stays {
            stream.read_to_end(&mut Vec::new()).ok();
        }
        return;
    }
}

fn rdb(magic: &str) -> Vec<u8> {
    let mut bytes = magic.as_bytes().to_vec();
    let field = if magic.starts_with("VALKEY") {
        "\u{a}valkey-ver\u{5}9.0.1"
    } else {
        "\u{9}redis-ver\u{6}7.0.15"
    };
    bytes.push(0xfa);
    bytes.extend_from_slice(field.as_bytes());
    bytes.extend_from_slice(&[b'x'; 5000]);
    bytes.push(0xff);
    let mut digest = Digest::new(CrcAlgorithm::Crc64Redis);
    digest.update(&bytes);
    bytes.extend_from_slice(&digest.finalize().to_le_bytes());
    bytes
}

const FULL: &[u8] = b"+FULLRESYNC 0123456789012345678901234567890123456789 0\r\n";
const MARK: &[u8; 40] = b"abcdefabcdefabcdefabcdefabcdefabcdefabcd";

/// An answer with its length in front, of which `sent` bytes come.
fn by_length(dump: &[u8], sent: usize) -> Vec<Vec<u8>> {
    let head = format!("${}\r\n", dump.len()).into_bytes();
    vec![FULL.to_vec(), b"\n\n".to_vec(), head, dump[..sent].to_vec()]
}

/// An answer up to a mark.
fn up_to_mark(dump: &[u8], mark: &[u8]) -> Vec<Vec<u8>> {
    let head = [b"$EOF:", MARK.as_slice(), b"\r\n"].concat();
    let (first, last) = mark.split_at(mark.len() / 2);
    vec![
        b"\n".to_vec(),
        FULL.to_vec(),
        b"\n".to_vec(),
        head,
        dump.to_vec(),
        first.to_vec(),
        last.to_vec(),
    ]
}

fn at(port: u16) -> String {
    format!("db_host: 127.0.0.1, db_port: {port}")
}

#[test]
fn both_framings_of_redis_and_valkey_are_understood_with_newlines_before_them() {
    for (magic, server) in [("REDIS0011", "Redis 7.0.15"), ("VALKEY080", "Valkey 9.0.1")] {
        let dump = rdb(magic);
        // What follows the dump is the stream of changes, which is none of ours.
        let mut followed = by_length(&dump, dump.len());
        followed.push(b"*1\r\n$4\r\nPING\r\n".to_vec());
        for answer in [followed, up_to_mark(&dump, MARK)] {
            let bed = bed(&at(serves(answer, true)));
            bed.run(["start"]);
            assert_eq!(manifest(&bed)["server_version"], server);
            assert_eq!(manifest(&bed)["raw_bytes"], dump.len());
        }
    }
}

#[test]
fn a_dump_that_is_cut_damaged_or_empty_makes_no_copy() {
    let dump = rdb("REDIS0011");
    let mut damaged = dump.clone();
    damaged[3000] ^= 1;
    let short = &dump[..4000];
    let cases = [
        (by_length(&dump, 3000), "broke off after 3000 bytes of its dump"),
        (up_to_mark(&dump, b""), "it closed the connection"),
        (up_to_mark(&dump[..2000], &MARK[..39]), "it closed the connection"),
        (by_length(&damaged, damaged.len()), "its CRC64 differs"),
        (up_to_mark(&damaged, MARK), "its CRC64 differs"),
        (by_length(short, short.len()), "the dump is cut: it has no end mark"),
        (by_length(b"", 0), "is no RDB"),
        (by_length(b"<html>", 6), "is no RDB"),
        (
            vec![FULL.to_vec(), b"-BGSAVE failed, try later\r\n".to_vec()],
            "gave no dump: BGSAVE failed",
        ),
        (vec![b"-LOADING Redis is loading\r\n".to_vec()], "gives no copy now: LOADING"),
        (vec![b"-NOMASTERLINK Can't SYNC\r\n".to_vec()], "gives no copy now: NOMASTERLINK"),
        (vec![b"HTTP/1.1 400 Bad Request\r\n".to_vec()], "an answer that is none of Redis"),
    ];
    for (answer, words) in cases {
        let bed = bed(&at(serves(answer, false)));
        bed.run(["start"]).exit(1).stderr_has(words);
        assert!(!bed.files("store").iter().any(|name| name.contains("redis_")), "{words}");
    }
}

#[test]
fn a_server_that_falls_silent_meets_the_timeout() {
    let dump = rdb("REDIS0011");
    for answer in [by_length(&dump, 3000), vec![FULL.to_vec()], Vec::new()] {
        let port = serves(answer, true);
        let bed = job("", &format!("timeout: 1s, connect: {{{}}}", at(port)));
        bed.run(["start"]).exit(1).stderr_has("it said nothing for 1 s");
    }
}
