//! Files that one value is parsed from, and that are parsed again when their contents change.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

/// Files, each under the key that names it, and the last good value that was parsed from them.
#[derive(Clone)]
pub(super) struct Watched<T> {
    files: Vec<(String, PathBuf)>,
    /// What the last poll read; empty before the first.
    read: Vec<Result<WatchedFile, Problem>>,
    pub(super) last: Option<T>,
}

/// A file and its contents.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct WatchedFile {
    pub(super) key: String,
    pub(super) path: PathBuf,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

/// What is wrong with a file: the key that names it, and the problem.
pub(super) type Problem = (String, String);

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The value may hold a private key.
        f.debug_map()
            .entries(self.files.iter().map(|(key, path)| (key, path)))
            .finish()
    }
}

impl<T> Watched<T> {
    /// Watches the files that are given.
    pub(super) fn new(files: impl IntoIterator<Item = (String, PathBuf)>) -> Self {
        Self {
            files: files.into_iter().collect(),
            read: Vec::new(),
            last: None,
        }
    }

    /// Reads the files, and returns whether they changed since the last poll.
    pub(super) fn poll_contents(&mut self) -> bool {
        let read = self
            .files
            .iter()
            .map(|(key, path)| WatchedFile::read(key, path));
        let read: Vec<_> = read.collect();
        let has_changed = self.read != read;
        self.read = read;
        has_changed
    }

    /// Reads the files, and parses them if they changed since the last poll. Returns whether they
    /// changed.
    ///
    /// # Errors
    /// The files changed, and cannot be read or parsed.
    pub(super) fn poll(
        &mut self,
        parse: impl FnOnce(&[&WatchedFile]) -> Result<T, Vec<Problem>>,
    ) -> Result<bool, Vec<Problem>> {
        if !self.poll_contents() {
            return Ok(false);
        }
        let unreadable = self.read.iter().filter_map(|file| file.clone().err());
        let unreadable: Vec<_> = unreadable.collect();
        if !unreadable.is_empty() {
            return Err(unreadable);
        }
        let files: Vec<_> = self.read.iter().flatten().collect();
        self.last = Some(parse(&files)?);
        Ok(true)
    }

    /// Polls a value that one file holds.
    pub(super) fn poll_file(
        &mut self,
        parse: impl Fn(&WatchedFile) -> Result<T, Vec<Problem>>,
    ) -> Result<bool, Vec<Problem>> {
        self.poll(|files| {
            files
                .iter()
                .map(|file| parse(file))
                .last()
                .unwrap_or(Err(Vec::new()))
        })
    }
}

impl WatchedFile {
    fn read(key: &str, path: &Path) -> Result<Self, Problem> {
        match fs::read(path) {
            Ok(bytes) => Ok(Self {
                key: key.to_owned(),
                path: path.to_owned(),
                bytes: Zeroizing::new(bytes),
            }),
            Err(error) => {
                let problem = format!("cannot read {}: {error}", path.display());
                Err((key.to_owned(), problem))
            }
        }
    }

    /// Returns the contents as text.
    pub(super) fn text(&self) -> Result<&str, Vec<Problem>> {
        let path = self.path.display();
        std::str::from_utf8(&self.bytes).map_err(|_| self.problem(format!("{path} is not UTF-8")))
    }

    /// Returns a problem of this file.
    pub(super) fn problem(&self, problem: impl Into<String>) -> Vec<Problem> {
        vec![(self.key.clone(), problem.into())]
    }
}

/// Finds the file that a key names.
pub(super) fn find<'a>(files: &[&'a WatchedFile], key: &str) -> Option<&'a WatchedFile> {
    files.iter().copied().find(|file| file.key == key)
}
