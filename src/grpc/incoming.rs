//! The connections of the gRPC server: their cap and their handshake.
//!
//! A connection reaches the server only after the preface of HTTP/2 has arrived, within a timeout;
//! their number has a cap; and no connection's error ends the server.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::coop,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_rustls::server::TlsStream;
use tokio_util::{either::Either, sync::CancellationToken};

use crate::{
    net::accept_loop,
    security::tls::{Session, Tls},
    telemetry::metrics,
};

/// The limits of connections.
#[derive(Debug, Clone)]
pub struct Config {
    /// The most connections, those in the handshake included.
    pub max_connections: usize,
    /// How long a connection may take for the TLS handshake and the preface of HTTP/2.
    pub handshake_timeout: Duration,
    /// How long a connection without calls stays open.
    pub idle_timeout: Duration,
}

/// How HTTP/2 begins: the connection preface (RFC 9113, 3.4), and the head of a SETTINGS frame,
/// whose type is the fourth byte after it.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD: usize = 9;
const SETTINGS: u8 = 4;

/// How many bytes use up one of the 128 units of work that tokio gives a task at a time.
///
/// h2 reads while there is something to read, and counts the calls that were cancelled before they
/// were accepted. So a connection reads some 8 KiB, then the calls in them are accepted, then it
/// reads on. That is fewer cancelled calls than `MAX_PENDING_RESETS`, since one takes 28 bytes or
/// more: a client that cancels often is not mistaken for a flood.
const BYTES_PER_UNIT: usize = 64;

/// The other end of a connection, in the extensions of each of its requests.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The address.
    pub remote: SocketAddr,
    /// The number of the connection, counted from 1.
    pub connection: u64,
    /// The TLS session; `None` over plaintext.
    pub session: Option<Session>,
    /// Cancelled when the connection has reached its age.
    pub(super) is_old: CancellationToken,
    pub(super) activity: Arc<Activity>,
}

/// The calls of a connection, which tell whether it is idle.
#[derive(Debug)]
pub(super) struct Activity {
    calls: AtomicUsize,
    last: Mutex<Instant>,
}

/// A call of a connection, until it is dropped.
#[derive(Debug)]
pub(super) struct ActiveCall(Arc<Activity>);

impl Peer {
    /// Counts a call until the returned value is dropped.
    pub(super) fn track(&self) -> ActiveCall {
        self.activity.calls.fetch_add(1, Ordering::Relaxed);
        ActiveCall(Arc::clone(&self.activity))
    }
}

impl Drop for ActiveCall {
    fn drop(&mut self) {
        *self.0.last.lock() = Instant::now();
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Activity {
    /// Waits until there has been no call for a time, counted from now at the earliest.
    pub(super) async fn idle(&self, time: Duration) {
        let start = Instant::now();
        loop {
            if self.calls.load(Ordering::Relaxed) > 0 {
                sleep(time).await;
                continue;
            }
            let end = start.max(*self.last.lock()) + time;
            if end <= Instant::now() {
                return;
            }
            sleep_until(end).await;
        }
    }
}

/// A connection on which HTTP/2 has begun.
pub(super) struct Connection {
    stream: Either<TcpStream, Box<TlsStream<TcpStream>>>,
    /// The bytes of the preface, to be read again by the server.
    preface: io::Cursor<Vec<u8>>,
    pub(super) peer: Peer,
    _permit: OwnedSemaphorePermit,
    _counted: metrics::OpenConnection,
}

/// Accepts connections until the returned receiver is dropped.
pub(super) fn incoming(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    config: Config,
) -> mpsc::Receiver<Connection> {
    let (sender, receiver) = mpsc::channel(1);
    let permits = Arc::new(Semaphore::new(config.max_connections));
    let mut number = 0;
    tokio::spawn(async move {
        let server_stopped = sender.clone();
        let accepted = accept_loop(listener, |stream, remote| {
            // A connection beyond the cap is closed at once: its client can try another replica.
            let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                metrics::connection_refused();
                tracing::warn!(%remote, "refused a connection: there are too many");
                return None;
            };
            number += 1;
            let peer = Peer {
                remote,
                connection: number,
                session: None,
                is_old: CancellationToken::new(),
                activity: Arc::new(Activity {
                    calls: AtomicUsize::new(0),
                    last: Mutex::new(Instant::now()),
                }),
            };
            let (tls, config, sender) = (tls.clone(), config.clone(), sender.clone());
            Some(async move {
                if let Some(connection) = handshake(stream, tls, peer, permit, &config).await {
                    // An error means that the server has stopped.
                    let _ = sender.send(connection).await;
                }
            })
        });
        tokio::select! {
            () = server_stopped.closed() => {}
            () = accepted => {}
        }
    });
    receiver
}

/// Waits for the TLS handshake, if there is TLS, and the preface of HTTP/2. Returns `None` if they
/// do not come in time.
async fn handshake(
    stream: TcpStream,
    tls: Option<Arc<Tls>>,
    mut peer: Peer,
    permit: OwnedSemaphorePermit,
    config: &Config,
) -> Option<Connection> {
    let handshake = timeout(config.handshake_timeout, async {
        stream.set_nodelay(true)?;
        let mut stream = match tls {
            None => Either::Left(stream),
            Some(tls) => {
                let (stream, session) = tls.accept(stream).await?;
                peer.session = Some(session);
                Either::Right(Box::new(stream))
            }
        };
        let preface = read_preface(&mut stream).await?;
        Ok::<_, io::Error>((stream, preface))
    });
    match handshake.await {
        Ok(Ok((stream, preface))) => Some(Connection {
            stream,
            preface: io::Cursor::new(preface),
            peer,
            _permit: permit,
            _counted: metrics::connection_opened(),
        }),
        Ok(Err(error)) => {
            tracing::debug!(
                remote = %peer.remote,
                error = &error as &dyn std::error::Error,
                "a connection did not begin HTTP/2"
            );
            None
        }
        Err(_) => {
            tracing::debug!(remote = %peer.remote, "a connection did not begin HTTP/2 in time");
            None
        }
    }
}

/// Reads the connection preface of HTTP/2, and the head of the SETTINGS frame after it.
async fn read_preface(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(PREFACE.len() + FRAME_HEAD);
    while bytes.len() < PREFACE.len() + FRAME_HEAD {
        let missing = PREFACE.len() + FRAME_HEAD - bytes.len();
        if stream.take(missing as u64).read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let seen = bytes.len().min(PREFACE.len());
        if bytes[..seen] != PREFACE[..seen] {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the client does not speak HTTP/2",
            ));
        }
    }
    if bytes.get(PREFACE.len() + 3) == Some(&SETTINGS) {
        Ok(bytes)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the preface is not followed by SETTINGS",
        ))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let filled = buffer.filled().len();
        ready!(Pin::new(&mut this.preface).poll_read(cx, buffer))?;
        if buffer.filled().len() > filled {
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        let read = buffer.filled().len() - filled;
        for _ in 0..read / BYTES_PER_UNIT {
            match coop::poll_proceed(cx) {
                Poll::Ready(unit) => unit.made_progress(),
                // The next read waits until this task is scheduled again.
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
