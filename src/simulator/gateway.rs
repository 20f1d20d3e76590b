//! What hops in front of the service answer themselves (docs/upstream/wire.md 12.4).

use super::reply::{Reply, reason_of};

const TEXT: &str = "text/plain";
const HTML: &str = "text/html";

/// Status, reason phrase, `Server`, Content-Type and body of the known pages.
const PAGES: &[(u16, &str, &str, &str, &str)] = &[
    (
        408,
        "Request Time-out",
        "nginx",
        HTML,
        "<html><body><h1>408 Request Time-out</h1></body></html>",
    ),
    (
        499,
        "Client Closed Request",
        "nginx",
        HTML,
        "<html><body><h1>499 Client Closed Request</h1></body></html>",
    ),
    (
        503,
        "Service Unavailable",
        "envoy",
        TEXT,
        "upstream connect error or disconnect/reset before headers. reset reason: connection \
         termination",
    ),
    (520, "", "cloudflare", TEXT, "error code: 520"),
    (522, "", "cloudflare", TEXT, "error code: 522"),
    (524, "", "cloudflare", TEXT, "error code: 524"),
    (598, "Network read timeout error", "proxy", TEXT, ""),
    (599, "Network connect timeout error", "proxy", TEXT, ""),
];

/// Makes the page of a gateway for a status. 3xx leads to a login page; a status without a page of
/// its own gets an HTML page.
pub(crate) fn page(status: u16) -> Reply {
    let known = PAGES.iter().find(|(known, ..)| *known == status);
    if let Some((_, reason, server, content_type, body)) = known {
        return Reply {
            status,
            reason: Some((*reason).to_owned()),
            server: Some(server),
            content_type: Some((*content_type).to_owned()),
            body: body.as_bytes().to_vec(),
            sized: true,
            ..Reply::default()
        };
    }
    Reply {
        server: Some("nginx"),
        location: (300..400)
            .contains(&status)
            .then(|| "https://login.example.com/".to_owned()),
        sized: true,
        ..Reply::html(status, HTML, reason_of(status))
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
