//! A client of raw bytes, for tests that must see exactly what is on the wire.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No test waits longer than this for bytes that should come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A response as it came.
#[derive(Debug, Default, Clone)]
pub(crate) struct RawResponse {
    pub(crate) status_line: String,
    pub(crate) headers: Vec<(String, String)>,
    /// The body without its framing.
    pub(crate) body: Vec<u8>,
    /// Whether the body came as long as its framing said.
    pub(crate) complete: bool,
}

impl RawResponse {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn status(&self) -> u16 {
        let code = self
            .status_line
            .split(' ')
            .nth(1)
            .expect("a status line has a code");
        code.parse().expect("a status code is a number")
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// How an exchange ended.
#[derive(Debug)]
pub(crate) enum Ending {
    Response(RawResponse),
    /// The connection was closed before a whole head had come; the bytes that had.
    Closed(Vec<u8>),
    /// The connection was reset before a whole head had come.
    Reset,
}

impl Ending {
    pub(crate) fn response(self) -> RawResponse {
        match self {
            Self::Response(response) => response,
            other => panic!("expected a response, got {other:?}"),
        }
    }
}

/// Sends a GET on a connection of its own and reads what comes.
pub(crate) async fn get(addr: SocketAddr, target: &str) -> Ending {
    send(addr, &request(addr, "GET", target, &[], b"")).await
}

/// Writes a request with `Host` and, for a body, `Content-Length` added.
pub(crate) fn request(
    addr: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Vec<u8> {
    let mut bytes = format!("{method} {target} HTTP/1.1\r\nHost: {addr}\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if !body.is_empty() || method == "POST" {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// Sends bytes on a connection of their own and reads one response.
pub(crate) async fn send(addr: SocketAddr, bytes: &[u8]) -> Ending {
    let mut stream = TcpStream::connect(addr)
        .await
        .expect("the simulator listens");
    stream
        .write_all(bytes)
        .await
        .expect("the request can be sent");
    let head_only = bytes.starts_with(b"HEAD ");
    tokio::time::timeout(PATIENCE, read(&mut stream, head_only))
        .await
        .expect("an answer or an end comes in time")
}

/// Reads one response, informational ones skipped.
pub(crate) async fn read(stream: &mut TcpStream, head_only: bool) -> Ending {
    let mut bytes = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            match more(stream, &mut bytes).await {
                Ok(true) => {}
                Ok(false) => return Ending::Closed(bytes),
                Err(_) => return Ending::Reset,
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        bytes.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let status_line = lines.next().unwrap_or_default().to_owned();
        if status_line.starts_with("HTTP/1.1 1") {
            continue;
        }
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut response = RawResponse {
            status_line,
            headers,
            ..RawResponse::default()
        };
        if head_only || response.status() == 204 {
            response.complete = true;
        } else {
            body(stream, bytes, &mut response).await;
        }
        return Ending::Response(response);
    }
}

async fn body(stream: &mut TcpStream, mut bytes: Vec<u8>, response: &mut RawResponse) {
    if let Some(length) = response.header("content-length") {
        let length: usize = length.parse().expect("a length is a number");
        while bytes.len() < length && matches!(more(stream, &mut bytes).await, Ok(true)) {}
        response.complete = bytes.len() == length;
        response.body = bytes;
    } else if response.header("transfer-encoding").is_some() {
        loop {
            let Some(line) = bytes.windows(2).position(|window| window == b"\r\n") else {
                if matches!(more(stream, &mut bytes).await, Ok(true)) {
                    continue;
                }
                return;
            };
            let size = String::from_utf8_lossy(&bytes[..line]).into_owned();
            let size = usize::from_str_radix(&size, 16).expect("a chunk's size is hexadecimal");
            while bytes.len() < line + 2 + size + 2 {
                if !matches!(more(stream, &mut bytes).await, Ok(true)) {
                    response.body.extend_from_slice(&bytes[line + 2..]);
                    return;
                }
            }
            response
                .body
                .extend_from_slice(&bytes[line + 2..line + 2 + size]);
            bytes.drain(..line + 2 + size + 2);
            if size == 0 {
                response.complete = true;
                return;
            }
        }
    } else {
        while matches!(more(stream, &mut bytes).await, Ok(true)) {}
        response.complete = true;
        response.body = bytes;
    }
}

async fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> std::io::Result<bool> {
    Ok(stream.read_buf(bytes).await? > 0)
}
