//! A response before it goes on the wire, and what distinguishes the hosts' framing
//! (docs/upstream/wire.md 9).

/// One response of the simulator.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The reason phrase; None is the usual one.
    pub(crate) reason: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) location: Option<String>,
    /// The `Server` of a hop in front; None is the host itself.
    pub(crate) server: Option<&'static str>,
    pub(crate) body: Vec<u8>,
    /// How the body is cut while it is sent.
    pub(crate) cut: Option<Cut>,
    /// The operation's name when the answer is CSV of the service: it becomes a file name.
    pub(crate) attachment: Option<String>,
    /// Whether `X-Powered-By` is sent; the framework leaves it out of its own refusals.
    pub(crate) powered: bool,
    /// Whether a self-host announces the length rather than sending chunks.
    pub(crate) sized: bool,
    /// Whether a hop in front closes the connection.
    pub(crate) closes: bool,
}

/// A body of which only the start is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// How many bytes are sent.
    pub(crate) keep: usize,
    /// Whether the connection stays open behind them.
    pub(crate) hangs: bool,
}

impl Reply {
    pub(crate) fn text(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            content_type: Some("text/plain".to_owned()),
            body: body.into().into_bytes(),
            powered: true,
            sized: true,
            ..Self::default()
        }
    }

    pub(crate) fn html(status: u16, content_type: &str, title: &str) -> Self {
        Self {
            status,
            content_type: Some(content_type.to_owned()),
            body: html_page(title).into_bytes(),
            ..Self::default()
        }
    }
}

/// Returns an HTML page with a title and nothing else.
pub(crate) fn html_page(title: &str) -> String {
    format!(
        "<!doctype html>\r\n<html lang=\"en-us\">\r\n<head>\r\n<title>{title}</title>\r\n\
         </head>\r\n<body>\r\n<h1>{title}</h1>\r\n</body>\r\n</html>\r\n"
    )
}

/// Returns the host's usual reason phrase of a status.
pub(crate) fn reason_of(status: u16) -> &'static str {
    http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Unknown")
}
