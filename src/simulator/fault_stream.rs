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
    /// The first `keep` bytes of the whole answer go through.
    CutHead { keep: usize, end: End },
    /// The head and the first `keep` bytes behind it go through.
    CutBody { keep: usize, end: End },
    /// At most `bytes` go through every `every`.
    Trickle { bytes: usize, every: Duration },
    /// These bytes go through instead, then the connection is closed.
    Replace { bytes: Vec<u8> },
}

/// The script of a connection, shared by the service and the stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamControl(Arc<Mutex<Script>>);

impl StreamControl {
    /// Sets the script for the answer that comes next.
    pub(crate) fn set(&self, script: Script) {
        *self.0.lock() = script;
    }
}

/// Wraps a connection's stream and follows the script of its [`StreamControl`].
#[derive(Debug)]
pub(crate) struct FaultStream {
    stream: TcpStream,
    control: StreamControl,
    /// How much of the blank line that ends a head has been seen.
    blank: usize,
    pause: Option<Pin<Box<Sleep>>>,
}

impl FaultStream {
    pub(crate) fn new(stream: TcpStream, control: StreamControl) -> Self {
        Self {
            stream,
            control,
            blank: 0,
            pause: None,
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

    fn send(&mut self, cx: &mut Context<'_>, bytes: &[u8], keep: usize) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, &bytes[..keep.min(bytes.len())])
    }

    /// Returns how many of `bytes` still belong to the head, and notes its end.
    fn head_part(&mut self, bytes: &[u8]) -> usize {
        const END: &[u8] = b"\r\n\r\n";
        for (index, byte) in bytes.iter().enumerate() {
            if self.blank == END.len() {
                return index;
            }
            self.blank = match byte {
                byte if END.get(self.blank) == Some(byte) => self.blank + 1,
                b'\r' => 1,
                _ => 0,
            };
        }
        bytes.len()
    }
}

impl AsyncRead for FaultStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for FaultStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let control = this.control.clone();
        let mut script = control.0.lock();
        match &mut *script {
            Script::Pass => {
                this.blank = 0;
                this.send(cx, bytes, bytes.len())
            }
            Script::CutHead { keep: 0, end } => this.end(*end),
            Script::CutHead { keep, .. } => {
                let sent = ready!(this.send(cx, bytes, *keep))?;
                *keep -= sent;
                Poll::Ready(Ok(sent))
            }
            Script::CutBody { keep, end } => {
                let before = this.blank;
                let head = this.head_part(bytes);
                if head == 0 && *keep == 0 {
                    return this.end(*end);
                }
                match this.send(cx, bytes, head + *keep) {
                    Poll::Ready(Ok(sent)) => {
                        if sent < head {
                            // What was not sent comes again.
                            this.blank = before;
                            this.head_part(&bytes[..sent]);
                        }
                        *keep -= sent.saturating_sub(head);
                        Poll::Ready(Ok(sent))
                    }
                    other => {
                        this.blank = before;
                        other
                    }
                }
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
            Script::Replace { bytes } if bytes.is_empty() => this.end(End::Close),
            Script::Replace { bytes } => {
                while !bytes.is_empty() {
                    let sent = ready!(this.send(cx, bytes, bytes.len()))?;
                    bytes.drain(..sent);
                }
                this.end(End::Close)
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
