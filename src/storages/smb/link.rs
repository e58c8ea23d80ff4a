//! The connection to a share: made late, shared by all calls, made again when it is of no use.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use smb::connection::EncryptionMode;
use smb::{Connection, ConnectionConfig, Guid, Session, Tree, UncPath};
use sspi::AuthIdentity;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::base::{MIB, Secret};
use crate::storages::smb::config::Config;
use crate::storages::smb::errors::Trouble;
use crate::storages::smb::transport::{Meter, Transport};
use crate::storages::{Kind, Section, Setting};

/// Gives everybody the same connection.
pub(super) struct Link {
    target: Arc<Target>,
    current: Mutex<Option<Dial>>,
    /// Chunks of all puts that may be on their way at the same time.
    pub(super) window: Arc<Semaphore>,
}

type Dial = Shared<BoxFuture<'static, Result<Arc<Wire>, Trouble>>>;

/// Whom to dial, and how.
struct Target {
    config: Config,
    location: String,
    patience: Option<Duration>,
}

impl Link {
    pub(super) fn new(config: &Config, setting: &Setting<'_>) -> Self {
        // Half of it: so there is time for a second connection before the whole call is given up.
        let patience = setting.timeout.map(|timeout| timeout / 2);
        let (config, location) = (config.clone(), config.location());
        let target = Arc::new(Target { config, location, patience });
        Self { target, current: Mutex::default(), window: Arc::new(Semaphore::new(WINDOW)) }
    }

    /// Gives the connection, and makes one first where there is none that works.
    ///
    /// Must be called in the runtime in which the connection is to live.
    pub(super) async fn wire(&self) -> Result<Arc<Wire>, Trouble> {
        let dial = {
            let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            match &*current {
                Some(dial) if is_good(dial) => dial.clone(),
                _ => current.insert(self.target.clone().dial()).clone(),
            }
        };
        dial.await
    }

    /// Runs `call`; once more over a new connection when one that worked before is dead by now.
    pub(super) async fn call<T, F: Future<Output = Result<T, Trouble>>>(
        &self,
        call: impl Fn(Arc<Wire>) -> F,
    ) -> Result<T, Trouble> {
        let wire = self.wire().await?;
        let worked = wire.used.swap(true, Ordering::Relaxed);
        match wire.note(call(wire.clone()).await) {
            Err(trouble) if trouble.mark.lost && worked => {
                let wire = self.wire().await?;
                wire.used.store(true, Ordering::Relaxed);
                wire.note(call(wire.clone()).await)
            }
            done => done,
        }
    }
}

/// Passwords stay out of it.
impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.target.location).finish()
    }
}

/// Tells whether a connection is being made, or works as far as we know.
fn is_good(dial: &Dial) -> bool {
    match dial.peek() {
        None => true,
        Some(Ok(wire)) => !wire.is_lost() && !wire.is_tired() && !wire.was_idle(),
        Some(Err(_)) => false,
    }
}

/// A connection, logged in, with the share open.
pub(super) struct Wire {
    /// `None` only while it is dropped.
    parts: Option<(Tree, Session, Connection)>,
    runtime: Handle,
    lost: AtomicBool,
    used: AtomicBool,
    last: Mutex<Instant>,
    meter: Arc<Meter>,
    patience: Option<Duration>,
    /// How many bytes one write or read may have here.
    pub(super) chunk: usize,
}

impl Wire {
    /// The open share.
    pub(super) fn tree(&self) -> &Tree {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let (tree, ..) = self.parts.as_ref().expect("the parts are there until the drop");
        tree
    }

    /// Says that it is of no use any more.
    pub(super) fn give_up(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }

    /// Gives up on it if `done` says so.
    pub(super) fn note<T>(&self, done: Result<T, Trouble>) -> Result<T, Trouble> {
        if done.as_ref().is_err_and(|trouble| trouble.mark.lost) {
            self.give_up();
        }
        done
    }

    /// Tells whether it should be replaced, although it still works.
    pub(super) fn is_tired(&self) -> bool {
        self.meter.is_low()
    }

    /// Waits for `call`, which the library may let wait for ever.
    pub(super) async fn within<T>(&self, call: impl Future<Output = T>) -> Result<T, Trouble> {
        match self.patience {
            Some(patience) => timeout(patience + GRACE, call)
                .await
                .map_err(|_| Trouble::lost("the connection does not move any more")),
            None => Ok(call.await),
        }
    }

    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// A server, or something on the way to it, may have forgotten it without a word.
    fn was_idle(&self) -> bool {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > IDLE
    }
}

/// The library says goodbye in tasks, for which it needs a runtime.
impl Drop for Wire {
    fn drop(&mut self) {
        let _runtime = self.runtime.enter();
        self.parts = None;
    }
}

impl Target {
    /// Starts to dial, in a task that is not ended with the call that needs it.
    fn dial(self: Arc<Self>) -> Dial {
        let task = tokio::spawn(async move {
            let patience = self.patience.map_or(DIAL, |patience| patience.min(DIAL));
            match timeout(patience, self.connect()).await {
                Ok(done) => done.map(Arc::new),
                Err(_) => Err(self.silent()),
            }
        });
        task.map(|done| done.unwrap_or_else(|error| Err(Trouble::task(&error)))).boxed().shared()
    }

    async fn connect(&self) -> Result<Wire, Trouble> {
        let meter = Arc::new(Meter::default());
        let connection = self.reach(&meter).await?;
        let of = |error| Trouble::about(&self.location, error);
        let session = connection.authenticate(self.identity()?).await.map_err(of)?;
        let unc = UncPath::new(&self.config.host);
        let unc = unc.and_then(|unc| unc.with_share(&self.config.share)).map_err(of)?;
        let tree = session.tree_connect(&unc).await.map_err(of)?;
        let most = connection
            .conn_info()
            .map_or(0, |info| info.negotiation.max_write_size.min(info.negotiation.max_read_size));
        let chunk = (most as usize).clamp(LEAST, MIB);
        let (lost, used) = (AtomicBool::new(false), AtomicBool::new(false));
        let (runtime, last) = (Handle::current(), Mutex::new(Instant::now()));
        let (parts, patience) = (Some((tree, session, connection)), self.patience);
        Ok(Wire { parts, runtime, lost, used, last, meter, patience, chunk })
    }

    /// Tries every address of the host.
    async fn reach(&self, meter: &Arc<Meter>) -> Result<Connection, Trouble> {
        let (host, port) = (self.config.host.as_str(), self.config.port());
        let found = tokio::net::lookup_host((host, port)).await;
        let addresses: Vec<SocketAddr> = found.map_err(|error| self.nameless(&error))?.collect();
        let mut trouble = self.nameless(&io::Error::from(io::ErrorKind::NotFound));
        for address in addresses {
            match Transport::connect(address, meter.clone()).await {
                Ok(transport) => return self.greet(Box::new(transport)).await,
                Err(error) => trouble = self.unreachable(&error),
            }
        }
        Err(trouble)
    }

    async fn greet(&self, transport: Box<Transport>) -> Result<Connection, Trouble> {
        let (host, manner) = (&self.config.host, self.manner());
        let greeted = Connection::from_transport(transport, host, Guid::generate(), manner).await;
        greeted.map_err(|error| self.unwelcome(&error))
    }

    /// How the protocol is to be spoken.
    fn manner(&self) -> ConnectionConfig {
        ConnectionConfig {
            timeout: Some(self.patience.unwrap_or_default()),
            encryption_mode: match self.config.encrypt {
                Some(true) => EncryptionMode::Required,
                Some(false) => EncryptionMode::Disabled,
                None => EncryptionMode::Allowed,
            },
            // A guest has no key to sign with.
            allow_unsigned_guest_access: self.config.user.is_none(),
            client_name: Some("nxs-backup".to_owned()),
            disable_notifications: true,
            smb2_only_negotiate: true,
            credits_backlog: Some(CREDITS),
            ..ConnectionConfig::default()
        }
    }

    fn identity(&self) -> Result<AuthIdentity, Trouble> {
        let username = self.config.username().map_err(|error| {
            Trouble::new(Kind::Denied, format!("{}: `user`: {error}", self.location))
        })?;
        let password = self.config.password.as_ref().map_or("", Secret::reveal);
        Ok(AuthIdentity { username, password: password.to_owned().into() })
    }

    fn nameless(&self, error: &io::Error) -> Trouble {
        let Self { config, location, .. } = self;
        let cause = format!("the name {:?} does not resolve ({error}); check `host`", config.host);
        Trouble::lost(format!("{location}: {cause}"))
    }

    fn silent(&self) -> Trouble {
        Trouble::lost(format!(
            "{}: the server does not answer; check `host` and `port`, and what lies between",
            self.location
        ))
    }

    fn unreachable(&self, error: &io::Error) -> Trouble {
        Trouble::lost(format!(
            "{}: port {} cannot be reached ({error}); is the server up, and are `host` and `port` \
             right?",
            self.location,
            self.config.port()
        ))
    }

    fn unwelcome(&self, error: &smb::Error) -> Trouble {
        let location = &self.location;
        let known = Trouble::known(location, error).filter(|known| !known.mark.lost);
        if let Some(trouble) = known {
            return trouble;
        }
        match error {
            smb::Error::OperationTimeout(..) => self.silent(),
            smb::Error::ConnectionStopped
            | smb::Error::TransportError(_)
            | smb::Error::MessageProcessingError(_) => Trouble::lost(format!(
                "{location}: the server hangs up at the greeting; if it speaks SMB 1 alone, switch \
                 SMB 2 or 3 on there"
            )),
            error => Trouble::lost(format!(
                "{location}: the server and we have no version of SMB in common ({error})"
            )),
        }
    }
}

/// Chunks of 1 MiB that all puts of a storage together may have on their way; each put may have
/// [`crate::storages::smb::pipe`]'s depth of them in memory besides.
const WINDOW: usize = 16;
/// Credits that the server is asked for, one for 64 KiB on the way: all that most servers give,
/// so that a connection lasts long; see [`crate::storages::smb::transport`].
const CREDITS: u16 = 8192;
const LEAST: usize = 4096;
const DIAL: Duration = Duration::from_secs(30);
/// Servers and firewalls forget a silent connection after minutes; a new one costs little.
const IDLE: Duration = Duration::from_secs(60);
/// How much longer than the library, which has a clock for most things, we wait ourselves.
const GRACE: Duration = Duration::from_millis(200);
