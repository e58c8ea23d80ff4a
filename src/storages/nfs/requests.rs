//! Which procedure each request belongs to, and what its answers are.

use nfs3_client::nfs3_types::nfs3::*;
use nfs3_client::nfs3_types::xdr_codec::{Pack, Unpack, Void};

/// The arguments of a procedure of NFSv3.
pub(super) trait Request: Pack + Send + Sync {
    const PROCEDURE: NFS_PROGRAM;
    type Answer: Unpack + Send;
    /// What comes with a refusal.
    type Refusal: Unpack + Send;
}

macro_rules! requests {
    ($($request:ty, $procedure:ident, $answer:ty, $refusal:ty;)*) => {$(
        impl Request for $request {
            const PROCEDURE: NFS_PROGRAM = NFS_PROGRAM::$procedure;
            type Answer = $answer;
            type Refusal = $refusal;
        }
    )*};
}

requests! {
    GETATTR3args, NFSPROC3_GETATTR, GETATTR3resok, Void;
    LOOKUP3args<'_>, NFSPROC3_LOOKUP, LOOKUP3resok, LOOKUP3resfail;
    READ3args, NFSPROC3_READ, READ3resok<'static>, READ3resfail;
    WRITE3args<'_>, NFSPROC3_WRITE, WRITE3resok, WRITE3resfail;
    COMMIT3args, NFSPROC3_COMMIT, COMMIT3resok, COMMIT3resfail;
    CREATE3args<'_>, NFSPROC3_CREATE, CREATE3resok, CREATE3resfail;
    MKDIR3args<'_>, NFSPROC3_MKDIR, MKDIR3resok, MKDIR3resfail;
    REMOVE3args<'_>, NFSPROC3_REMOVE, REMOVE3resok, REMOVE3resfail;
    RMDIR3args<'_>, NFSPROC3_RMDIR, RMDIR3resok, RMDIR3resfail;
    RENAME3args<'_, '_>, NFSPROC3_RENAME, RENAME3resok, RENAME3resfail;
    READDIR3args, NFSPROC3_READDIR, READDIR3resok<'static>, READDIR3resfail;
    READDIRPLUS3args, NFSPROC3_READDIRPLUS, READDIRPLUS3resok<'static>, READDIRPLUS3resfail;
}
