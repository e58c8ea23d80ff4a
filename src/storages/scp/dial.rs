//! From nothing to a conversation: name, TCP, handshake, host key, login, SFTP.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use ssh2::{ErrorCode, ExtendedData, MethodType, Session};

use crate::base::MIB;
use crate::storages::Kind;
use crate::storages::scp::auth::{broke, log_in};
use crate::storages::scp::config::Config;
use crate::storages::scp::errors::Trouble;
use crate::storages::scp::host_key::{HostKey, Trust, Verdict};
use crate::storages::scp::line::{Line, Slow, TICK_MILLIS, Watch};
use crate::storages::scp::sftp::Sftp;

/// Connects to the server and logs in.
pub(super) fn dial(config: &Config, watch: &Watch) -> Result<Sftp, Trouble> {
    let first = Watch { patience: watch.patience.min(HELLO), gate: watch.gate.clone() };
    let (session, socket) = known(config, &first)?;
    log_in(&session, config, &first)?;
    let line = open(&session, socket, config, &first)?;
    let mut sftp = Sftp::begin(line).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => {
            let problem = format!("{} lets us in, but speaks no SFTP", config.host);
            Trouble::of(Kind::Unsupported, problem, error)
        }
        _ => Trouble::lost("the server ended the connection before SFTP began", error),
    })?;
    sftp.watched_by(watch.clone());
    Ok(sftp)
}

/// Shakes hands with a server whose host key is good.
fn known(config: &Config, watch: &Watch) -> Result<(Session, TcpStream), Trouble> {
    let trust = Trust::of(config)?;
    let mut last = None;
    for algorithms in trust.attempts() {
        let (session, socket) = match shake_hands(config, &algorithms, watch) {
            Ok(connected) => connected,
            // It has no key of this type; an earlier attempt said more.
            Err(trouble) if !trouble.mark.lost && last.is_some() => continue,
            Err(trouble) => return Err(trouble),
        };
        let Some(key) = session.host_key().map(|(blob, _)| HostKey::new(blob)) else {
            return Err(Trouble::new(Kind::Denied, "the server showed no host key"));
        };
        match trust.judge(&key) {
            Verdict::Good => return Ok((session, socket)),
            Verdict::Bad(trouble) => return Err(trouble),
            Verdict::Another(trouble) => last = last.or(Some(trouble)),
        }
    }
    Err(last.unwrap_or_else(|| Trouble::new(Kind::Denied, "the server showed no host key")))
}

fn shake_hands(
    config: &Config,
    algorithms: &str,
    watch: &Watch,
) -> Result<(Session, TcpStream), Trouble> {
    let socket = reach(config, watch)?;
    let set_up = |error| Trouble::of(Kind::Other, "SSH could not be set up here", error);
    let mut session = Session::new().map_err(set_up)?;
    session.set_timeout(TICK_MILLIS);
    session.method_pref(MethodType::HostKey, algorithms).map_err(set_up)?;
    for direction in [MethodType::CryptCs, MethodType::CryptSc] {
        session.method_pref(direction, CIPHERS).map_err(set_up)?;
    }
    let under = socket.try_clone();
    session.set_tcp_stream(under.map_err(|error| Trouble::lost("the connection broke", error))?);
    watch.over(|| session.handshake()).map_err(|error| match error.code() {
        ErrorCode::Session(KEX_FAILURE | KEY_EXCHANGE_FAILURE | METHOD_NONE) => {
            let problem = format!(
                "{}: no way to encrypt that both sides accept; is its SSH very old?",
                config.host
            );
            Trouble::of(Kind::Unsupported, problem, error)
        }
        _ if error.is_slow() => {
            let problem = format!("{} port {} does not answer as SSH", config.host, config.port());
            Trouble::lost(problem, watch.silence())
        }
        _ => Trouble::lost("the server ended the connection before SSH began", error),
    })?;
    Ok((session, socket))
}

/// Connects to the first address of the server that answers.
fn reach(config: &Config, watch: &Watch) -> Result<TcpStream, Trouble> {
    let (host, port) = (config.host.as_str(), config.port());
    let found = (host, port).to_socket_addrs().map_err(|error| {
        let problem = format!("{host}: no such host; is `host` right, and does DNS work here?");
        Trouble::lost(problem, error)
    })?;
    let addresses: Vec<SocketAddr> = found.collect();
    let mut last = None;
    for address in &addresses {
        let patience = watch.patience.min(CONNECT).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(address, patience) {
            Ok(socket) => {
                socket.set_nodelay(true).ok();
                return Ok(socket);
            }
            Err(error) => last = Some(error),
        }
    }
    let error = last.unwrap_or_else(|| std::io::ErrorKind::NotFound.into());
    let advice = match error.kind() {
        std::io::ErrorKind::ConnectionRefused => {
            "nobody listens there; is `port` right, and does its SSH run?"
        }
        std::io::ErrorKind::TimedOut => "it does not answer; is it up, and does a firewall let us?",
        _ => "it cannot be reached",
    };
    Err(Trouble::lost(format!("{host} port {port}: {advice}"), error))
}

/// Opens the channel on which SFTP is spoken.
fn open(
    session: &Session,
    socket: TcpStream,
    config: &Config,
    watch: &Watch,
) -> Result<Line, Trouble> {
    let opened = watch.over(|| session.channel_open("session", WINDOW, PACKET, None));
    let mut channel = opened.map_err(|error| match error.is_slow() {
        true => broke(error, watch),
        false => Trouble::lost("the server opens no channel", error),
    })?;
    let refused = |error: ssh2::Error| match error.code() {
        ErrorCode::Session(REQUEST_DENIED) => {
            let problem = format!(
                "{} offers no SFTP (`scp`, `sftp` and `ssh` all speak it): its admin must add \
                 `Subsystem sftp internal-sftp` to sshd_config",
                config.host
            );
            Trouble::new(Kind::Unsupported, problem)
        }
        _ => broke(error, watch),
    };
    watch.over(|| channel.subsystem("sftp")).map_err(refused)?;
    channel.handle_extended_data(ExtendedData::Ignore).map_err(refused)?;
    Ok(Line::new(channel, socket, watch.clone()))
}

/// How long a server may be silent before we are in: no disk is asked there.
const HELLO: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(20);

/// Bytes that the server may send ahead; libssh2 keeps them, one window a connection.
const WINDOW: u32 = 4 * MIB as u32;
/// Bytes of one message that the server may send.
const PACKET: u32 = 32 * 1024;

/// AES-GCM first: with the help of today's processors nothing is faster.
const CIPHERS: &str = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,\
                       chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr";

/// What libssh2 calls its errors.
const KEX_FAILURE: i32 = -5;
const KEY_EXCHANGE_FAILURE: i32 = -8;
const METHOD_NONE: i32 = -17;
const REQUEST_DENIED: i32 = -22;
