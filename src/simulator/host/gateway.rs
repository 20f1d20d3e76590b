//! What hops in front of the service answer themselves (docs/upstream/wire.md 12.4).

use super::reply::{Reply, reason_of};

/// Makes the page of a gateway for a status. 3xx leads to a login page; a status without a page of
/// its own gets an HTML page.
pub(crate) fn page(status: u16) -> Reply {
    let (server, reason, content_type, body) = match status {
        408 => (
            "nginx",
            "Request Time-out",
            "text/html",
            "408 Request Time-out",
        ),
        499 => (
            "nginx",
            "Client Closed Request",
            "text/html",
            "499 Client Closed Request",
        ),
        503 => (
            "envoy",
            "Service Unavailable",
            "text/plain",
            "upstream connect error or disconnect/reset before headers. reset reason: connection \
             termination",
        ),
        520 => ("cloudflare", "", "text/plain", "error code: 520"),
        522 => ("cloudflare", "", "text/plain", "error code: 522"),
        524 => ("cloudflare", "", "text/plain", "error code: 524"),
        598 => ("proxy", "Network read timeout error", "text/plain", ""),
        599 => ("proxy", "Network connect timeout error", "text/plain", ""),
        _ => {
            let login = "https://login.example.com/".to_owned();
            return Reply {
                server: Some("nginx"),
                location: (300..400).contains(&status).then_some(login),
                sized: true,
                ..Reply::html(status, "text/html", reason_of(status))
            };
        }
    };
    Reply {
        status,
        reason: Some(reason.to_owned()),
        server: Some(server),
        content_type: Some(content_type.to_owned()),
        body: match content_type {
            "text/html" => format!("<html><body><h1>{body}</h1></body></html>").into_bytes(),
            _ => body.into(),
        },
        sized: true,
        ..Reply::default()
    }
}

/// Makes the page with which HTTP.sys refuses a request that no service takes.
pub(crate) fn http_sys_unavailable() -> Reply {
    Reply {
        status: 503,
        server: Some("Microsoft-HTTPAPI/2.0"),
        content_type: Some("text/html; charset=us-ascii".to_owned()),
        body: b"<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\"\
                \"http://www.w3.org/TR/html4/strict.dtd\">\r\n\
                <HTML><HEAD><TITLE>Service Unavailable</TITLE>\r\n\
                <META HTTP-EQUIV=\"Content-Type\" Content=\"text/html; charset=us-ascii\"></HEAD>\r\n\
                <BODY><h2>Service Unavailable</h2>\r\n\
                <hr><p>HTTP Error 503. The service is unavailable.</p>\r\n\
                </BODY></HTML>\r\n"
            .to_vec(),
        sized: true,
        closes: true,
        ..Reply::default()
    }
}
