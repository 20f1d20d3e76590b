//! Files that one value is parsed from, and that are parsed again when their contents change.

use std::{
    fmt, fs, io,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

/// Files, each under the key that names it, and the last good value that was parsed from them.
#[derive(Clone)]
pub(super) struct Watched<T> {
    files: Vec<(String, PathBuf)>,
    /// What the last poll read; empty before the first.
    read: Read,
    /// What a poll read of files that are being rewritten.
    rewriting: Read,
    /// Whether a value was parsed.
    is_good: bool,
    pub(super) last: Option<T>,
}

/// The files as a poll read them.
type Read = Vec<Result<WatchedFile, Problem>>;

/// A file and its contents.
#[derive(Clone)]
pub(super) struct WatchedFile {
    pub(super) key: String,
    pub(super) path: PathBuf,
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// Device and inode: a file that replaces another one has its own.
    id: (u64, u64),
}

/// Compares the contents.
impl PartialEq for WatchedFile {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
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
            rewriting: Vec::new(),
            is_good: false,
            last: None,
        }
    }

    /// Watches another file from now on. The last good value stays until that one is read.
    pub(super) fn follow(&mut self, key: &str, path: &Path) {
        let files = vec![(key.to_owned(), path.to_owned())];
        if self.files != files {
            self.files = files;
            self.read = Vec::new();
        }
    }

    fn read(&self) -> Read {
        let files = self.files.iter();
        files
            .map(|(key, path)| WatchedFile::read(key, path))
            .collect()
    }

    /// Reads the files, and returns whether they changed since the last poll.
    pub(super) fn poll_contents(&mut self) -> bool {
        let read = self.read();
        let has_changed = self.read != read;
        self.read = read;
        has_changed
    }

    /// Reads the files, and parses them if they changed since the last poll. Returns whether they
    /// changed.
    ///
    /// A file that is rewritten in place may be half written, so it is taken when two polls read
    /// the same, and never if it is empty. One that replaces another is taken at once.
    ///
    /// # Errors
    /// The files changed, and cannot be read or parsed.
    pub(super) fn poll(
        &mut self,
        parse: impl FnOnce(&[&WatchedFile]) -> Result<T, Vec<Problem>>,
    ) -> Result<bool, Vec<Problem>> {
        let read = self.read();
        if self.read == read {
            self.read = read;
            return Ok(false);
        }
        let pairs = read.iter().flatten().zip(self.read.iter().flatten());
        let mut rewritten = pairs.filter(|(now, before)| now.id == before.id && now != before);
        if rewritten.clone().next().is_some() && self.rewriting != read {
            self.rewriting = read;
            return Ok(false);
        }
        let empty = rewritten.find(|(now, _)| self.is_good && now.bytes.trim_ascii().is_empty());
        let empty = empty.map(|(now, _)| {
            now.problem(format!(
                "{} is empty, as while it is written",
                now.path.display()
            ))
        });
        self.read = read;
        if let Some(problem) = empty {
            return Err(problem);
        }
        let unreadable = self.read.iter().filter_map(|file| file.clone().err());
        let unreadable: Vec<_> = unreadable.collect();
        if !unreadable.is_empty() {
            return Err(unreadable);
        }
        let files: Vec<_> = self.read.iter().flatten().collect();
        self.last = Some(parse(&files)?);
        self.is_good = true;
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
        let read = || -> io::Result<Self> {
            let mut file = fs::File::open(path)?;
            let mut bytes = Zeroizing::new(Vec::new());
            file.read_to_end(&mut bytes)?;
            let metadata = file.metadata()?;
            Ok(Self {
                key: key.to_owned(),
                path: path.to_owned(),
                bytes,
                id: (metadata.dev(), metadata.ino()),
            })
        };
        read().map_err(|error| {
            let problem = format!("cannot read {}: {error}", path.display());
            (key.to_owned(), problem)
        })
    }

    /// Returns the contents as text, without what is invisible at the ends. Lines keep their
    /// numbers.
    pub(super) fn text(&self) -> Result<&str, Vec<Problem>> {
        let path = self.path.display();
        let text = std::str::from_utf8(&self.bytes)
            .map_err(|_| self.problem(format!("{path} is not UTF-8")))?;
        let in_line = |char| is_invisible(char) && !matches!(char, '\r' | '\n');
        Ok(text
            .trim_start_matches(in_line)
            .trim_end_matches(is_invisible))
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

/// Returns whether editors, web pages and shells leave a character at the ends of a text without
/// showing it: white space, a byte order mark, and others that have no width.
pub(super) fn is_invisible(char: char) -> bool {
    char.is_whitespace() || matches!(char, '\u{feff}' | '\u{200b}'..='\u{200d}' | '\u{2060}')
}
