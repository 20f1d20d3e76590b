//! The connection below HTTP: a stream that cuts, stalls, resets or replaces an answer on demand.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep},
};

/// How a cut answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing more comes, the connection stays.
    Hang,
    /// The connection is closed (FIN).
    Close,
    /// The connection is reset (RST).
    Reset,
}

/// What the stream does to the next answer on a connection.
#[derive(Clone, Debug, Default)]
pub(crate) enum Script {
    /// Everything goes through.
    #[default]
    Pass,
    /// The first `keep` bytes of the answer go through, head included.
    Cut { keep: usize, end: End },
    /// At most `bytes` go through every `every`.
    Trickle { bytes: usize, every: Duration },
    /// Everything goes through, and these bytes behind it.
    Append { bytes: Vec<u8>, started: bool },
    /// These bytes go through instead, then the connection is closed.
    Replace { bytes: Vec<u8> },
}

/// The script for the answer that comes next on a connection, shared by the service and the stream.
pub(crate) type StreamControl = Arc<Mutex<Script>>;

/// Wraps a connection's stream and follows the script of its [`StreamControl`].
#[derive(Debug)]
pub(crate) struct FaultStream {
    stream: TcpStream,
    control: StreamControl,
    pause: Option<Pin<Box<Sleep>>>,
    /// Whether the next byte that is read belongs to a request line.
    in_request_line: bool,
    /// What was read and escaped, and not yet passed on.
    escaped: Vec<u8>,
}

impl FaultStream {
    pub(crate) fn new(stream: TcpStream, control: StreamControl) -> Self {
        Self {
            stream,
            control,
            pause: None,
            in_request_line: true,
            escaped: Vec::new(),
        }
    }

    fn end(&self, end: End) -> Poll<io::Result<usize>> {
        match end {
            // The task is woken by the reading side only, when the peer gives up.
            End::Hang => return Poll::Pending,
            End::Close => {}
            End::Reset => {
                SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?;
            }
        }
        Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
    }

    /// Sends at most `keep` of `bytes`. HTTP/1.0 is answered as HTTP/1.1, which the HTTP library
    /// does not do (docs/upstream/wire.md 12.3).
    fn send(&mut self, cx: &mut Context<'_>, bytes: &[u8], keep: usize) -> Poll<io::Result<usize>> {
        let newer;
        let bytes = match bytes.strip_prefix(b"HTTP/1.0 ") {
            Some(rest) => {
                newer = [b"HTTP/1.1 ", rest].concat();
                &newer
            }
            None => bytes,
        };
        Pin::new(&mut self.stream).poll_write(cx, &bytes[..keep.min(bytes.len())])
    }

    /// Sends all of `bytes`, and leaves those that are not sent yet.
    fn send_all(&mut self, cx: &mut Context<'_>, bytes: &mut Vec<u8>) -> Poll<io::Result<()>> {
        while !bytes.is_empty() {
            let sent = ready!(self.send(cx, bytes, bytes.len()))?;
            bytes.drain(..sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Passes on what was escaped.
    fn hand_over(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.escaped.len().min(buf.remaining());
        buf.put_slice(&self.escaped[..count]);
        self.escaped.drain(..count);
    }
}

impl AsyncRead for FaultStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.escaped.is_empty() {
            this.hand_over(buf);
            return Poll::Ready(Ok(()));
        }
        let start = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let read = &buf.filled()[start..];
        if this.in_request_line && !read.is_empty() {
            let line = read.iter().position(|byte| *byte == b'\n');
            this.in_request_line = line.is_none();
            let (line, rest) = read.split_at(line.unwrap_or(read.len()));
            if let Some(mut escaped) = escape_target(line) {
                escaped.extend_from_slice(rest);
                this.escaped = escaped;
                buf.set_filled(start);
                this.hand_over(buf);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for FaultStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.in_request_line = !bytes.starts_with(b"HTTP/1.1 100 ");
        let control = this.control.clone();
        let mut script = control.lock();
        match &mut *script {
            Script::Pass => this.send(cx, bytes, bytes.len()),
            Script::Append { started, .. } => {
                *started = true;
                this.send(cx, bytes, bytes.len())
            }
            Script::Cut { keep: 0, end } => this.end(*end),
            Script::Cut { keep, .. } => {
                let sent = ready!(this.send(cx, bytes, *keep))?;
                *keep -= sent;
                Poll::Ready(Ok(sent))
            }
            Script::Trickle { bytes: step, every } => {
                if let Some(pause) = &mut this.pause {
                    ready!(pause.as_mut().poll(cx));
                }
                let every = *every;
                let sent = ready!(this.send(cx, bytes, (*step).max(1)))?;
                this.pause = Some(Box::pin(tokio::time::sleep_until(Instant::now() + every)));
                Poll::Ready(Ok(sent))
            }
            Script::Replace { bytes } => {
                ready!(this.send_all(cx, bytes))?;
                this.end(End::Close)
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let control = this.control.clone();
        if let Script::Append {
            bytes,
            started: true,
        } = &mut *control.lock()
        {
            ready!(this.send_all(cx, bytes))?;
        }
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// Escapes what the HTTP library refuses in a request line and the real hosts take: a backtick in
/// the path, and bytes that are not UTF-8 (docs/upstream/wire.md 12.3). None changes nothing.
fn escape_target(line: &[u8]) -> Option<Vec<u8>> {
    let odd = |byte: &u8| *byte == b'`' || (*byte >= 0x80 && std::str::from_utf8(line).is_err());
    line.iter().any(odd).then(|| {
        let escape = |byte: &u8| match odd(byte) {
            true => format!("%{byte:02X}").into_bytes(),
            false => vec![*byte],
        };
        line.iter().flat_map(escape).collect()
    })
}
