//! Files that one value is parsed from, and that are parsed again when their contents change.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// `N` files, each under the key that names it, and the last good value that was parsed from them.
#[derive(Clone)]
pub(super) struct Watched<T, const N: usize> {
    files: [(String, Option<PathBuf>); N],
    /// The digest of what the last poll read.
    digest: Option<[u8; 32]>,
    pub(super) last: Option<T>,
}

/// A file and its contents.
pub(super) struct WatchedFile<'a> {
    pub(super) path: &'a Path,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

/// Problems, each with the index of its file.
type Problems = Vec<(usize, String)>;

/// The outcome of a poll.
#[must_use]
pub(super) enum Poll {
    /// The files are as they were at the last poll, or there are none.
    Unchanged,
    /// The files were read and parsed.
    Changed,
    /// The files changed, and cannot be read or parsed: problems, each with the key of its file.
    Failed(Vec<(String, String)>),
}

impl<T, const N: usize> fmt::Debug for Watched<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The value may hold a private key.
        let files = self.files.iter().filter_map(|(_, path)| path.as_ref());
        f.debug_list().entries(files).finish()
    }
}

impl<T, const N: usize> Watched<T, N> {
    /// Watches the files that are given.
    pub(super) fn new(files: [(&str, Option<&PathBuf>); N]) -> Self {
        Self {
            files: files.map(|(key, path)| (key.to_owned(), path.cloned())),
            digest: None,
            last: None,
        }
    }

    /// Reads the files, and parses them if they changed since the last poll.
    pub(super) fn poll(
        &mut self,
        parse: impl FnOnce([Option<WatchedFile<'_>>; N]) -> Result<T, Problems>,
    ) -> Poll {
        if self.files.iter().all(|(_, path)| path.is_none()) {
            return Poll::Unchanged;
        }
        let contents = self.files.each_ref().map(|(_, path)| {
            let path = path.as_deref()?;
            let bytes = fs::read(path).map(Zeroizing::new);
            Some((
                path,
                bytes.map_err(|error| format!("cannot read {}: {error}", path.display())),
            ))
        });
        let mut hash = Sha256::new();
        let mut unreadable = Problems::new();
        for (index, content) in contents.iter().enumerate() {
            let bytes = match content {
                None => continue,
                Some((_, Ok(bytes))) => bytes.as_slice(),
                Some((_, Err(problem))) => {
                    unreadable.push((index, problem.clone()));
                    problem.as_bytes()
                }
            };
            hash.update(bytes.len().to_be_bytes());
            hash.update(bytes);
        }
        let digest = hash.finalize().into();
        if self.digest.replace(digest) == Some(digest) {
            return Poll::Unchanged;
        }
        let parsed = if unreadable.is_empty() {
            parse(contents.map(|content| {
                let (path, bytes) = content?;
                let bytes = bytes.ok()?;
                Some(WatchedFile { path, bytes })
            }))
        } else {
            Err(unreadable)
        };
        match parsed {
            Ok(value) => {
                self.last = Some(value);
                Poll::Changed
            }
            Err(problems) => Poll::Failed(
                problems
                    .into_iter()
                    .filter_map(|(index, problem)| {
                        let (key, _) = self.files.get(index)?;
                        Some((key.clone(), problem))
                    })
                    .collect(),
            ),
        }
    }
}

impl WatchedFile<'_> {
    /// Returns the contents as text.
    pub(super) fn text(&self) -> Result<&str, Problems> {
        std::str::from_utf8(&self.bytes)
            .map_err(|_| vec![(0, format!("{} is not UTF-8", self.path.display()))])
    }
}
