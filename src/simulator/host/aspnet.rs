//! ASP.NET, with nginx in front of it as in the captures: decodes the path, or refuses the request
//! before the service runs (docs/upstream/wire.md 5).

use super::reply::Reply;
use crate::simulator::framework::parameters::{Parameters, decode_path};

/// ASP.NET's limit of the path, in characters.
const MAX_PATH: usize = 260;
/// ASP.NET's limit of the query string, in characters.
const MAX_QUERY: usize = 2_048;

/// Decodes and resolves the path as nginx and ASP.NET do, or refuses the request.
///
/// # Errors
/// Returns the page of the refusal.
pub(crate) fn path(method: &str, path: &str, query: Option<&str>) -> Result<String, Box<Reply>> {
    let page = |status, title| Reply::html(status, "text/html", title);
    if method == "TRACE" {
        let reason = Some("Not Allowed".to_owned());
        return Err(Box::new(Reply {
            reason,
            ..page(405, "405 Not Allowed")
        }));
    }
    let lower_case = method.bytes().any(|byte| byte.is_ascii_lowercase());
    let decoded = match decode_path(path, false) {
        Ok(decoded) if !lower_case && !decoded.contains('\0') => resolve(&decoded),
        _ => return Err(page(400, "400 Bad Request").into()),
    };
    if decoded.contains([':', '*']) {
        let reason = Some("Bad request".to_owned());
        let page = Reply::html(400, "text/html; charset=utf-8", "Bad request");
        return Err(Box::new(Reply { reason, ..page }));
    }
    if decoded.contains(['<', '>', '%', '&', '\\', '?']) {
        return Err(page(500, "Error 500").into());
    }
    let query = query.unwrap_or_default();
    if decoded.chars().count() > MAX_PATH || query.chars().count() > MAX_QUERY {
        return Err(page(400, "Error 400").into());
    }
    let lower = decoded.to_ascii_lowercase();
    if lower == "/web.config" || lower.starts_with("/bin/") {
        return Err(Reply::text(403, "Forbidden\n\n").into());
    }
    Ok(decoded)
}

/// Resolves `.` and `..` and drops empty segments, keeping a last slash.
fn resolve(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    let slash = if path.ends_with('/') && !kept.is_empty() {
        "/"
    } else {
        ""
    };
    format!("/{}{slash}", kept.join("/"))
}

/// Finds a value that looks like HTML: `<` before a letter, `!`, `/` or `?`, or `&#`.
pub(crate) fn dangerous(params: &Parameters) -> Option<(&str, &str)> {
    params.iter().find(|(_, value)| {
        value.as_bytes().windows(2).any(|pair| match pair {
            [b'<', next] => next.is_ascii_alphabetic() || matches!(next, b'!' | b'/' | b'?'),
            [b'&', next] => *next == b'#',
            _ => false,
        })
    })
}

/// Makes the answer to an unknown route: many lines, which print the raw URL and the License in it.
pub(crate) fn not_found(method: &str, path: &str, target: &str) -> Reply {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    Reply::text(
        404,
        format!(
            "Handler for Request not found: \n\n\nRequest.ApplicationPath: /\n\
             Request.CurrentExecutionFilePath: {path}\nRequest.FilePath: {path}\n\
             Request.HttpMethod: {method}\nRequest.Path: {path}\nRequest.PathInfo: \n\
             Request.QueryString: {query}\nRequest.RawUrl: {target}\n\
             App.IsIntegratedPipeline: False\nApp.DefaultHandler: metadata\n"
        ),
    )
}
