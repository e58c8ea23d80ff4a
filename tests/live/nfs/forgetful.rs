//! A server in this process that does what no real one does at the right moment: it takes only
//! half of what it is given, restarts before it has flushed what it took, does what it is asked
//! and hangs up without a word, and cannot list a folder with attributes.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nfs3_client::nfs3_types::mount::{fhandle3, mountres3, mountres3_ok};
use nfs3_client::nfs3_types::nfs3::*;
use nfs3_client::nfs3_types::rpc::*;
use nfs3_client::nfs3_types::xdr_codec::{List, Opaque, Pack, Unpack};
use nxs_backup::base::chain;
use nxs_backup::storages::Kind;
use nxs_backup::storages::nfs::Config;

use crate::live::nfs::{connect_for, key, names, noise, put};

/// One folder of files; a handle is the number of a file, 0 is the folder.
#[derive(Default)]
struct Disk {
    names: BTreeMap<Vec<u8>, u64>,
    /// What readers see, and what lies on the disk, by number.
    seen: BTreeMap<u64, Vec<u8>>,
    flushed: BTreeMap<u64, Vec<u8>>,
    /// How many more flushes it restarts at.
    forgets: u32,
    starts: u8,
    taken: usize,
    /// Procedures that it does once and then hangs up.
    silent_after: Vec<NFS_PROGRAM>,
}

type Shared = Arc<Mutex<Disk>>;

/// Starts a server that restarts at its next `forgets` flushes.
fn serve(forgets: u32) -> (Shared, Config) {
    let disk = Shared::new(Mutex::new(Disk { forgets, ..Disk::default() }));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = Some(listener.local_addr().unwrap().port());
    let served = disk.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, disk) = (stream.unwrap(), served.clone());
            thread::spawn(move || talk(stream, &disk).ok());
        }
    });
    let (host, backup_dir) = ("127.0.0.1".to_owned(), "/vol".to_owned());
    let (export, uid, gid, connections, extra_keys) = (None, None, None, None, None);
    let config = Config {
        host,
        backup_dir,
        export,
        port,
        mount_port: port,
        uid,
        gid,
        connections,
        extra_keys,
    };
    (disk, config)
}

fn talk(mut stream: TcpStream, disk: &Shared) -> io::Result<()> {
    loop {
        let mut head = [0; 4];
        stream.read_exact(&mut head)?;
        let mut request = vec![0; fragment_header::from(head).fragment_length() as usize];
        stream.read_exact(&mut request)?;
        let mut request = Cursor::new(request);
        let (message, _) = rpc_msg::unpack(&mut request).unwrap();
        let msg_body::CALL(call) = message.body else { panic!("a reply came") };
        let reply_data = accept_stat_data::SUCCESS;
        let reply = accepted_reply { verf: opaque_auth::default(), reply_data };
        let body = msg_body::REPLY(reply_body::MSG_ACCEPTED(reply));
        let mut answer = Vec::new();
        rpc_msg { xid: message.xid, body }.pack(&mut answer).unwrap();
        let mut disk = disk.lock().unwrap_or_else(PoisonError::into_inner);
        if call.prog == PROGRAM {
            let procedure = NFS_PROGRAM::try_from(call.proc).unwrap();
            disk.nfs(procedure, &mut request, &mut answer);
            if disk.silent_after.contains(&procedure) {
                disk.silent_after.retain(|other| *other != procedure);
                return Ok(());
            }
        } else {
            let fhandle = fhandle3(Opaque::owned(vec![0; 8]));
            say(&mut answer, mountres3::Ok(mountres3_ok { fhandle, auth_flavors: vec![1] }));
        }
        drop(disk);
        let head = fragment_header::new(answer.len() as u32, true).into_xdr_buf();
        stream.write_all(&[&head[..], &answer].concat())?;
    }
}

fn hear<T: Unpack>(request: &mut Cursor<Vec<u8>>) -> T {
    T::unpack(request).unwrap().0
}

fn say(answer: &mut Vec<u8>, what: impl Pack) {
    what.pack(answer).unwrap();
}

fn number(handle: &nfs_fh3) -> u64 {
    u64::from_be_bytes(handle.data.as_ref().try_into().unwrap())
}

fn handle(number: u64) -> nfs_fh3 {
    nfs_fh3 { data: Opaque::owned(number.to_be_bytes().to_vec()) }
}

impl Disk {
    fn nfs(&mut self, procedure: NFS_PROGRAM, request: &mut Cursor<Vec<u8>>, answer: &mut Vec<u8>) {
        match procedure {
            NFS_PROGRAM::NFSPROC3_FSINFO => say(answer, FSINFO3res::Ok(info())),
            NFS_PROGRAM::NFSPROC3_GETATTR => {
                let asked: GETATTR3args = hear(request);
                let obj_attributes = self.facts(number(&asked.object));
                say(answer, GETATTR3res::Ok(GETATTR3resok { obj_attributes }));
            }
            NFS_PROGRAM::NFSPROC3_LOOKUP => self.lookup(&hear(request), answer),
            NFS_PROGRAM::NFSPROC3_CREATE => self.create(&hear(request), answer),
            NFS_PROGRAM::NFSPROC3_WRITE => self.write(&hear(request), answer),
            NFS_PROGRAM::NFSPROC3_COMMIT => self.commit(&hear(request), answer),
            NFS_PROGRAM::NFSPROC3_RENAME => self.rename(&hear(request), answer),
            NFS_PROGRAM::NFSPROC3_REMOVE => {
                let asked: REMOVE3args<'static> = hear(request);
                self.names.remove(asked.object.name.as_ref());
                say(answer, REMOVE3res::Ok(REMOVE3resok { dir_wcc: wcc_data::default() }));
            }
            NFS_PROGRAM::NFSPROC3_READDIRPLUS => {
                let refusal = READDIRPLUS3resfail::default();
                say(answer, READDIRPLUS3res::Err((nfsstat3::NFS3ERR_NOTSUPP, refusal)));
            }
            NFS_PROGRAM::NFSPROC3_READDIR => self.list(&hear(request), answer),
            other => panic!("{other:?} was not expected"),
        }
    }

    fn lookup(&self, asked: &LOOKUP3args<'static>, answer: &mut Vec<u8>) {
        let none = LOOKUP3resfail::default();
        say(
            answer,
            match self.names.get(asked.what.name.as_ref()) {
                None => LOOKUP3res::Err((nfsstat3::NFS3ERR_NOENT, none)),
                Some(number) => LOOKUP3res::Ok(LOOKUP3resok {
                    object: handle(*number),
                    obj_attributes: Nfs3Option::None,
                    dir_attributes: Nfs3Option::None,
                }),
            },
        );
    }

    fn create(&mut self, asked: &CREATE3args<'static>, answer: &mut Vec<u8>) {
        if self.names.contains_key(asked.where_.name.as_ref()) {
            let refusal = CREATE3resfail::default();
            return say(answer, CREATE3res::Err((nfsstat3::NFS3ERR_EXIST, refusal)));
        }
        let made = self.seen.len() as u64 + 1;
        self.names.insert(asked.where_.name.as_ref().to_vec(), made);
        self.seen.insert(made, Vec::new());
        self.flushed.insert(made, Vec::new());
        let obj = Nfs3Option::Some(handle(made));
        let (obj_attributes, dir_wcc) = (Nfs3Option::None, wcc_data::default());
        say(answer, CREATE3res::Ok(CREATE3resok { obj, obj_attributes, dir_wcc }));
    }

    fn rename(&mut self, asked: &RENAME3args<'static, 'static>, answer: &mut Vec<u8>) {
        let Some(moved) = self.names.remove(asked.from.name.as_ref()) else {
            let refusal = RENAME3resfail::default();
            return say(answer, RENAME3res::Err((nfsstat3::NFS3ERR_NOENT, refusal)));
        };
        self.names.insert(asked.to.name.as_ref().to_vec(), moved);
        let (fromdir_wcc, todir_wcc) = (wcc_data::default(), wcc_data::default());
        say(answer, RENAME3res::Ok(RENAME3resok { fromdir_wcc, todir_wcc }));
    }

    /// Gives one name at a time; its number is the cookie.
    fn list(&self, asked: &READDIR3args, answer: &mut Vec<u8>) {
        let next = self.names.iter().nth(asked.cookie as usize);
        let entries = next.map(|(name, number)| entry3 {
            fileid: *number,
            name: filename3::from(name.clone()),
            cookie: asked.cookie + 1,
        });
        let eof = asked.cookie as usize + 1 >= self.names.len();
        let reply = dirlist3 { entries: List(entries.into_iter().collect()), eof };
        let (dir_attributes, cookieverf) = (Nfs3Option::None, cookieverf3::default());
        say(answer, READDIR3res::Ok(READDIR3resok { dir_attributes, cookieverf, reply }));
    }

    /// Takes half of the bytes, and does not flush them.
    fn write(&mut self, asked: &WRITE3args<'static>, answer: &mut Vec<u8>) {
        let bytes = &asked.data[..asked.data.len().div_ceil(2)];
        let file = self.seen.get_mut(&number(&asked.file)).unwrap();
        let (begin, end) = (asked.offset as usize, asked.offset as usize + bytes.len());
        file.resize(file.len().max(end), 0);
        file[begin..end].copy_from_slice(bytes);
        self.taken += bytes.len();
        let committed = stable_how::UNSTABLE;
        let (file_wcc, verf) = (wcc_data::default(), self.verifier());
        let count = bytes.len() as u32;
        say(answer, WRITE3res::Ok(WRITE3resok { file_wcc, count, committed, verf }));
    }

    fn commit(&mut self, asked: &COMMIT3args, answer: &mut Vec<u8>) {
        if self.forgets > 0 {
            self.forgets -= 1;
            self.starts = self.starts.wrapping_add(1);
            self.seen = self.flushed.clone();
        }
        let file = number(&asked.file);
        self.flushed.insert(file, self.seen[&file].clone());
        let (file_wcc, verf) = (wcc_data::default(), self.verifier());
        say(answer, COMMIT3res::Ok(COMMIT3resok { file_wcc, verf }));
    }

    fn verifier(&self) -> writeverf3 {
        writeverf3([self.starts; 8])
    }

    fn facts(&self, number: u64) -> fattr3 {
        let size = self.seen[&number].len() as u64;
        let time = nfstime3 { seconds: 1, nseconds: 0 };
        fattr3 {
            type_: ftype3::NF3REG,
            mode: 0o600,
            nlink: 1,
            uid: 0,
            gid: 0,
            size,
            used: size,
            rdev: specdata3::default(),
            fsid: 1,
            fileid: number,
            atime: time,
            mtime: time,
            ctime: time,
        }
    }
}

fn info() -> FSINFO3resok {
    let (most, time_delta) = (256 << 10, nfstime3::default());
    FSINFO3resok {
        obj_attributes: Nfs3Option::None,
        rtmax: most,
        rtpref: most,
        rtmult: 1,
        wtmax: most,
        wtpref: most,
        wtmult: 1,
        dtpref: most,
        maxfilesize: u64::MAX,
        time_delta,
        properties: 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restart_lost_is_sent_again() {
    for length in [100_001, (20 << 20) + 1] {
        let (disk, config) = serve(2);
        let bytes = noise(length);
        put(&*connect_for(config, 3, 60), "object", &bytes).await.unwrap();
        let disk = disk.lock().unwrap();
        assert_eq!(disk.names.keys().collect::<Vec<_>>(), [b"object"]);
        assert!(disk.flushed[&disk.names[&b"object"[..]]] == bytes, "{length} bytes came to harm");
        assert!(disk.taken > length && disk.forgets == 0, "nothing was lost");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_loses_everything_all_the_time_fails_the_put() {
    let (disk, config) = serve(u32::MAX);
    let error = put(&*connect_for(config, 1, 60), "object", &noise(9 << 20)).await.unwrap_err();
    let said = chain(&error);
    assert!(
        said.ends_with(
            "the server restarts again and again before it has flushed what it was sent"
        ),
        "{said}"
    );
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(disk.lock().unwrap().names.is_empty(), "a temporary file stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_without_an_answer_is_not_done_twice() {
    use NFS_PROGRAM as P;
    let (disk, config) = serve(0);
    let steps = [P::NFSPROC3_CREATE, P::NFSPROC3_WRITE, P::NFSPROC3_COMMIT, P::NFSPROC3_RENAME];
    disk.lock().unwrap().silent_after = steps.to_vec();
    let storage = connect_for(config, 3, 60);
    let bytes = noise(1 << 20);
    put(&*storage, "object", &bytes).await.unwrap();
    disk.lock().unwrap().silent_after = vec![P::NFSPROC3_REMOVE];
    put(&*storage, "other", &bytes).await.unwrap();
    assert_eq!(names(&*storage).await, ["object", "other"]);
    storage.delete(&key("other")).await.unwrap();
    let disk = disk.lock().unwrap();
    assert_eq!(disk.names.keys().collect::<Vec<_>>(), [b"object"]);
    assert!(disk.flushed[&disk.names[&b"object"[..]]] == bytes && disk.silent_after.is_empty());
}
