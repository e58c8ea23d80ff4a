//! Ports, the handle of the export, and how many bytes a call may carry.

use std::net::SocketAddr;

use nfs3_client::nfs3_types::mount::{dirpath, mountres3_ok};
use nfs3_client::nfs3_types::nfs3::{
    FSINFO3args, FSINFO3res, NFS_PROGRAM, Nfs3Result, PROGRAM, VERSION, nfs_fh3,
};
use nfs3_client::nfs3_types::rpc::opaque_auth;
use nfs3_client::nfs3_types::xdr_codec::Opaque;
use nfs3_client::nfs3_types::{mount, portmap};
use nfs3_client::{MountClient, MountError, PortmapError, PortmapperClient};
use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::base::{KIB, MIB, display};
use crate::storages::nfs::call::Call;
use crate::storages::nfs::errors::{self, ONLY_V4};
use crate::storages::nfs::server::{Mounted, Way};
use crate::storages::nfs::wire::{self, Client, Wire};
use crate::storages::{Kind, Result};

/// Wraps a connection to the NFS service.
pub(super) fn client(wire: Wire, way: &Way) -> Client {
    Client::new_with_auth(wire, way.credentials(), opaque_auth::default())
}

/// Asks for ports where none are given, mounts the export and asks what it can do.
pub(super) async fn mount(call: &Call) -> Result<Mounted> {
    let way = &call.server.way;
    let host = way.host.trim_matches(['[', ']']);
    let found = lookup_host((host, 0)).await.map_err(|error| {
        let words = format!("the host name {} cannot be resolved: {error}", way.host);
        call.error(Kind::Unavailable, words)
    })?;
    let mut failed = call.error(Kind::Unavailable, format!("{} has no address", way.host));
    for address in found {
        match mount_at(call, address).await {
            Err(error) if error.kind == Kind::Unavailable => failed = error,
            done => return done,
        }
    }
    Err(failed)
}

async fn mount_at(call: &Call, host: SocketAddr) -> Result<Mounted> {
    let at = |port| SocketAddr::new(host.ip(), port);
    let (port, mount_port) = ports(call, at(portmap::PMAP_PORT)).await?;
    let root = root(call, at(mount_port)).await?;
    let way = &call.server.way;
    let wire = dial(call, at(port), "NFS server", "`port`").await?;
    let mut client = client(wire, way);
    let request = FSINFO3args { fsroot: root.clone() };
    let procedure = NFS_PROGRAM::NFSPROC3_FSINFO as u32;
    let asked = client.call::<_, FSINFO3res>(PROGRAM, VERSION, procedure, &request);
    let info = match within(call, &way.host, asked).await? {
        Ok(Nfs3Result::Ok(info)) => info,
        Ok(Nfs3Result::Err((status, _))) => return Err(call.refused(status)),
        Err(error) => return Err(call.unanswered(&error, &way.host)),
    };
    call.server.idle.keep(client);
    let bytes = |most: u32| (most as usize).clamp(4 * KIB, MIB);
    let (read_bytes, write_bytes) = (bytes(info.rtmax), bytes(info.wtmax));
    Ok(Mounted { address: at(port), root, read_bytes, write_bytes })
}

/// Returns the ports of NFS and MOUNT; rpcbind is asked for what the config does not say.
async fn ports(call: &Call, rpcbind: SocketAddr) -> Result<(u16, u16)> {
    let way = &call.server.way;
    if let (Some(port), Some(mount_port)) = (way.port, way.mount_port) {
        return Ok((port, mount_port));
    }
    let wire = wire::dial(rpcbind, false).await.map_err(|error| {
        let words = format!(
            "rpcbind on {} port {} does not answer: start it there and open its port, or set \
             `port` and `mount_port`; a server of NFSv4 alone has none: {ONLY_V4}: {error}",
            way.host,
            rpcbind.port()
        );
        call.error(Kind::Unavailable, words)
    })?;
    let mut rpcbind = PortmapperClient::new(wire);
    let port = match way.port {
        Some(port) => port,
        None => ask_port(call, &mut rpcbind, PROGRAM, VERSION, "NFSv3").await?,
    };
    let mount_port = match way.mount_port {
        Some(port) => port,
        None => {
            ask_port(call, &mut rpcbind, mount::PROGRAM, mount::VERSION, "mount (version 3)")
                .await?
        }
    };
    Ok((port, mount_port))
}

async fn ask_port(
    call: &Call,
    rpcbind: &mut PortmapperClient<Wire>,
    program: u32,
    version: u32,
    what: &str,
) -> Result<u16> {
    let who = format!("rpcbind on {}", call.server.way.host);
    let asked = rpcbind.getport(program, version, portmap::IPPROTO_TCP);
    match within(call, &who, asked).await? {
        Ok(port) => Ok(port),
        Err(PortmapError::ProgramUnavailable) => {
            let words = format!("{who} knows no {what} service over TCP: {ONLY_V4}");
            Err(call.error(Kind::Unsupported, words))
        }
        Err(PortmapError::Rpc(error)) => Err(call.unanswered(&error, &who)),
        Err(error) => Err(call.error(Kind::Other, format!("{who}: {error}"))),
    }
}

/// Mounts the export and returns its handle.
async fn root(call: &Call, address: SocketAddr) -> Result<nfs_fh3> {
    let (server, way) = (&call.server, &call.server.way);
    let wire = dial(call, address, "mount service", "`mount_port`").await?;
    let (credentials, verifier) = (way.credentials(), opaque_auth::default());
    let mut client = MountClient::new_with_auth(wire, credentials, verifier);
    let who = format!("the mount service of {}", way.host);
    let asked = client.mnt(dirpath(Opaque::borrowed(way.export.as_bytes())));
    match within(call, &who, asked).await? {
        Ok(mounted) => handle(call, mounted),
        Err(MountError::Rpc(error)) => Err(call.unanswered(&error, &who)),
        Err(MountError::Denied(status)) => {
            let exports = exports(call, &mut client).await;
            let privileged = server.privileged;
            let (kind, words) = errors::not_mounted(status, way, privileged, exports.as_deref());
            Err(call.error(kind, words))
        }
    }
}

fn handle(call: &Call, mounted: mountres3_ok<'static>) -> Result<nfs_fh3> {
    let flavors = &mounted.auth_flavors;
    if flavors.is_empty() || flavors.contains(&AUTH_SYS) {
        return Ok(nfs_fh3 { data: mounted.fhandle.0 });
    }
    let words = format!(
        "{} takes no AUTH_SYS, it demands Kerberos or the like: mount it and use a `local` \
         storage with `must_be_mounted: yes`",
        call.server.way.export
    );
    Err(call.error(Kind::Unsupported, words))
}

/// Asks what there is to mount, for the words of an error.
async fn exports(call: &Call, client: &mut MountClient<Wire>) -> Option<String> {
    let asked = timeout(call.server.patience, client.export()).await;
    let exports = asked.ok()?.ok()?.into_inner();
    let names = exports.iter().map(|export| display(&String::from_utf8_lossy(&export.ex_dir.0)));
    let names: Vec<_> = names.take(MOST_EXPORTS).collect();
    if names.is_empty() { None } else { Some(names.join(", ")) }
}

async fn dial(call: &Call, address: SocketAddr, what: &str, key: &str) -> Result<Wire> {
    let dialled = wire::dial(address, call.server.privileged).await;
    dialled.map_err(|error| {
        let (host, port) = (&call.server.way.host, address.port());
        let words = format!(
            "no {what} answers on {host} port {port}: start it, open the port, or set {key}: {error}"
        );
        call.error(Kind::Unavailable, words)
    })
}

/// Waits for an answer as long as for any other.
async fn within<T>(call: &Call, who: &str, asked: impl Future<Output = T>) -> Result<T> {
    timeout(call.server.patience, asked).await.map_err(|_| call.silent(who))
}

/// What AUTH_SYS is called among the flavours of an export.
const AUTH_SYS: u32 = 1;
const MOST_EXPORTS: usize = 10;
