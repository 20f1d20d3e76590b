//! The accept loop: which connections reach the gRPC server, and how long silent ones may stay.
//!
//! Plain tonic keeps a connection that says nothing for ever. Here a connection counts as one only
//! after the beginning of HTTP/2 has come, within a deadline; there is a cap; one without calls is
//! closed after a time; and no connection's error ends the loop.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::{JoinSet, coop},
    time::{Instant, Sleep, sleep_until, timeout},
};
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::{
    security::tls::{Session, Tls},
    telemetry::metrics,
};

/// What connections may do.
#[derive(Debug, Clone)]
pub struct Config {
    /// How many connections there may be, those in the handshake included.
    pub max_connections: usize,
    /// How long a connection may take until the beginning of HTTP/2 has come.
    pub handshake_timeout: Duration,
    /// How long a connection may stay without calls.
    pub idle_timeout: Duration,
}

/// How HTTP/2 begins: the preface (RFC 9113, 3.4), and the head of a SETTINGS frame, whose type is
/// the fourth byte after it.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD: usize = 9;
const SETTINGS: u8 = 4;

/// How long accepting rests after it failed, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How many bytes use up one of the 128 units of work that tokio gives a task at a time.
///
/// h2 reads as long as there is something to read, and counts the calls that were cancelled before
/// they were accepted. So a connection takes in some 8 KiB, then the calls in them are accepted, then
/// it goes on. That is fewer cancelled calls than `MAX_PENDING_RESETS`, since one takes 28 bytes or
/// more: an honest client that cancels much is not taken for a flood.
const BYTES_PER_UNIT: usize = 64;

/// Who is at the other end of a connection; stands in the extensions of each of its requests.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The address.
    pub remote: SocketAddr,
    /// The number of the connection, counted from 1.
    pub connection: u64,
    /// What TLS tells of it; `None` over plaintext.
    pub session: Option<Session>,
    activity: Arc<Activity>,
}

/// The calls of a connection, by which it is told whether it is idle.
#[derive(Debug)]
struct Activity {
    calls: AtomicUsize,
    last: Mutex<Instant>,
}

/// A call of a connection, while it lasts.
#[derive(Debug)]
pub(super) struct Call(Arc<Activity>);

impl Peer {
    /// Counts a call, until the value is dropped.
    pub(super) fn call(&self) -> Call {
        self.activity.calls.fetch_add(1, Ordering::Relaxed);
        Call(Arc::clone(&self.activity))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Activity {
    /// Returns since when there has been no call, or `None` while there is one.
    fn idle_since(&self) -> Option<Instant> {
        (self.calls.load(Ordering::Relaxed) == 0)
            .then(|| *self.last.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a connection is made of.
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Does the same to either kind of stream.
macro_rules! either {
    ($stream:expr, $inner:ident => $do:expr) => {
        match $stream {
            Stream::Plain($inner) => $do,
            Stream::Tls($inner) => $do,
        }
    };
}

/// A connection on which HTTP/2 has begun.
pub(super) struct Connection {
    stream: Stream,
    /// What was read of the beginning, to be read again.
    begun: io::Cursor<Vec<u8>>,
    peer: Peer,
    idle_timeout: Duration,
    idle: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
    _counted: metrics::OpenConnection,
}

/// Accepts connections until the stream that is returned is dropped.
pub(super) fn accept(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    config: Config,
) -> ReceiverStream<io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(run(listener, tls, config, sender));
    ReceiverStream::new(receiver)
}

async fn run(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    config: Config,
    sender: mpsc::Sender<io::Result<Connection>>,
) {
    let places = Arc::new(Semaphore::new(config.max_connections));
    let numbers = AtomicU64::new(1);
    let mut handshakes = JoinSet::new();
    loop {
        tokio::select! {
            () = sender.closed() => return,
            Some(_) = handshakes.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, remote)) => {
                    // A connection beyond the cap is closed at once: its client can go elsewhere.
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                        metrics::connection_refused();
                        tracing::warn!(%remote, "refused a connection: there are too many");
                        continue;
                    };
                    let peer = Peer {
                        remote,
                        connection: numbers.fetch_add(1, Ordering::Relaxed),
                        session: None,
                        activity: Arc::new(Activity {
                            calls: AtomicUsize::new(0),
                            last: Mutex::new(Instant::now()),
                        }),
                    };
                    let tls = tls.clone();
                    let (config, sender) = (config.clone(), sender.clone());
                    handshakes.spawn(handshake(stream, tls, peer, place, config, sender));
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "could not accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

/// Waits for TLS, where it is spoken, and the beginning of HTTP/2, and hands the connection over;
/// drops it where that does not come.
async fn handshake(
    stream: TcpStream,
    tls: Option<Arc<Tls>>,
    mut peer: Peer,
    place: OwnedSemaphorePermit,
    config: Config,
    sender: mpsc::Sender<io::Result<Connection>>,
) {
    let begun = timeout(config.handshake_timeout, async {
        stream.set_nodelay(true)?;
        let mut stream = match tls {
            None => Stream::Plain(stream),
            Some(tls) => {
                let (stream, session) = tls.accept(stream).await?;
                peer.session = Some(session);
                Stream::Tls(Box::new(stream))
            }
        };
        let begun = either!(&mut stream, stream => begin(stream).await)?;
        Ok::<_, io::Error>((stream, begun))
    });
    match begun.await {
        Ok(Ok((stream, begun))) => {
            let idle = Box::pin(sleep_until(Instant::now() + config.idle_timeout));
            let connection = Connection {
                stream,
                begun: io::Cursor::new(begun),
                peer,
                idle_timeout: config.idle_timeout,
                idle,
                _place: place,
                _counted: metrics::connection_opened(),
            };
            // An error means that the server has stopped.
            let _ = sender.send(Ok(connection)).await;
        }
        Ok(Err(error)) => {
            tracing::debug!(
                remote = %peer.remote,
                error = &error as &dyn std::error::Error,
                "a connection did not begin HTTP/2"
            );
        }
        Err(_) => tracing::debug!(remote = %peer.remote, "a connection did not begin in time"),
    }
}

/// Reads the beginning of HTTP/2.
async fn begin(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut begun = Vec::with_capacity(PREFACE.len() + FRAME_HEAD);
    while begun.len() < PREFACE.len() + FRAME_HEAD {
        let room = PREFACE.len() + FRAME_HEAD - begun.len();
        if stream.take(room as u64).read_buf(&mut begun).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let seen = begun.len().min(PREFACE.len());
        if begun[..seen] != PREFACE[..seen] {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the client does not speak HTTP/2",
            ));
        }
    }
    if begun.get(PREFACE.len() + 3) == Some(&SETTINGS) {
        Ok(begun)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the preface is not followed by SETTINGS",
        ))
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let filled = buffer.filled().len();
        ready!(Pin::new(&mut this.begun).poll_read(context, buffer))?;
        if buffer.filled().len() > filled {
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(result) =
            either!(&mut this.stream, stream => Pin::new(stream).poll_read(context, buffer))
        {
            let read = buffer.filled().len() - filled;
            for _ in 0..read / BYTES_PER_UNIT {
                match coop::poll_proceed(context) {
                    Poll::Ready(unit) => unit.made_progress(),
                    // The next read waits until it is this task's turn again.
                    Poll::Pending => break,
                }
            }
            return Poll::Ready(result);
        }
        // Nothing came. A connection that has been without calls for too long ends here, as if its
        // client had closed it.
        while this.idle.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let next = match this.peer.activity.idle_since() {
                Some(since) if since + this.idle_timeout <= now => {
                    tracing::debug!(remote = %this.peer.remote, "closed an idle connection");
                    return Poll::Ready(Ok(()));
                }
                Some(since) => since + this.idle_timeout,
                None => now + this.idle_timeout,
            };
            this.idle.as_mut().reset(next);
        }
        Poll::Pending
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(&mut self.stream, stream => Pin::new(stream).poll_write(context, buffer))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(&mut self.stream, stream => Pin::new(stream).poll_write_vectored(context, buffers))
    }

    fn is_write_vectored(&self) -> bool {
        either!(&self.stream, stream => stream.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut self.stream, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut self.stream, stream => Pin::new(stream).poll_shutdown(context))
    }
}
