//! Notifications on disk until a broker has them: what `delivery = spooled` rests on.
//!
//! | file | has |
//! |---|---|
//! | `entry` | one record and its bytes |
//! | `segment` | files of records: appending, and reading what may be damaged |
//! | `folder` | a process's folder: its segments, and which records are done |
//! | `lock` | one owner for each folder |
//!
//! ```text
//! spool_dir/
//!   p4711-9c1e77d0/            a folder for each process, locked by it
//!     lock
//!     00000000000000000001.log     records, appended
//!     00000000000000000001.done    the numbers of those that the broker has
//!   set-aside/                 bytes that are no records any more, and refused records
//! ```
//!
//! Nothing here knows a broker: the driver takes entries, in order, and says which are done. A
//! record is repeated only where a process ended before it could write down that the broker has
//! it.

mod entry;
mod folder;
mod lock;
mod segment;

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

pub(crate) use entry::Entry;
pub(crate) use folder::{Folder, Next, Spooled};

use crate::stats::Stats;

/// How often the folders of dead processes are looked for.
const ADOPT_EVERY: Duration = Duration::from_secs(30);
/// Bytes of a segment at which the next one begins.
const SEGMENT_BYTES: u64 = 8 * 1024 * 1024;
/// Where bytes go that cannot be sent.
const SET_ASIDE: &str = "set-aside";

/// What a spool is opened with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The folder of folders.
    pub(crate) dir: PathBuf,
    /// Most bytes that this process keeps there.
    pub(crate) max_bytes: u64,
    /// Whether an append is on the disk before it returns.
    pub(crate) fsync: bool,
}

/// Why a notification was not spooled.
#[derive(Debug)]
pub(crate) enum SpoolError {
    /// The limit would be exceeded.
    Full { bytes: u64, max_bytes: u64 },
    /// The file system refused.
    Io { path: PathBuf, source: io::Error },
}

impl std::fmt::Display for SpoolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full { bytes, max_bytes } => write!(
                f,
                "the spool is full: {} of {} KiB (spool_max_kbytes)",
                bytes.div_ceil(1024),
                max_bytes / 1024
            ),
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

/// The spool of one transport.
#[derive(Debug)]
pub(crate) struct Spool {
    settings: Settings,
    stats: Arc<Stats>,
    own: Arc<Folder>,
    /// Folders of dead processes, which are drained before `own`, one after the other.
    adopted: Mutex<Adopted>,
    appended: Mutex<bool>,
    wake: Condvar,
}

#[derive(Debug)]
struct Adopted {
    folders: Vec<Arc<Folder>>,
    look_at: Instant,
}

impl Spool {
    /// Makes this process's folder. The folders of others are looked for by
    /// [`adopt_orphans`](Self::adopt_orphans).
    pub(crate) fn open(settings: Settings, stats: Arc<Stats>) -> Result<Self, SpoolError> {
        let failed = |source| SpoolError::Io { path: settings.dir.clone(), source };
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&settings.dir).map_err(failed)?;
        let segment_bytes = SEGMENT_BYTES.min(settings.max_bytes / 8).max(1);
        let own = Folder::create(&settings.dir, segment_bytes, settings.fsync).map_err(failed)?;
        let adopted = Adopted { folders: Vec::new(), look_at: Instant::now() };
        Ok(Self {
            settings,
            stats,
            own: Arc::new(own),
            adopted: Mutex::new(adopted),
            appended: Mutex::new(false),
            wake: Condvar::new(),
        })
    }

    /// Writes a record. When this returns, the death of the process does not lose it; with
    /// `fsync`, nor does that of the machine.
    pub(crate) fn append(&self, entry: &Entry) -> Result<(), SpoolError> {
        let bytes = entry.to_bytes();
        let max_bytes = self.settings.max_bytes;
        match self.own.append(&bytes, max_bytes) {
            Ok(Some(total)) => self.stats.spool_bytes.set(total),
            Ok(None) => {
                return Err(SpoolError::Full { bytes: self.own.bytes(), max_bytes });
            }
            Err(source) => {
                return Err(SpoolError::Io { path: self.own.path().to_owned(), source });
            }
        }
        let mut appended = self.appended.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut *appended, true) {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Waits until something was appended since the last call, at most `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) {
        let appended = self.appended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.wake.wait_timeout_while(appended, timeout, |appended| !*appended);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }

    /// Takes over the folders of processes that have ended, now and every 30 s.
    pub(crate) fn adopt_orphans(&self, now: Instant) {
        let mut adopted = self.lock();
        if now < adopted.look_at {
            return;
        }
        adopted.look_at = now + ADOPT_EVERY;
        let found = match fs::read_dir(&self.settings.dir) {
            Ok(found) => found,
            Err(error) => {
                tracing::error!("spool {}: {error}", self.settings.dir.display());
                return;
            }
        };
        let mut paths: Vec<PathBuf> = found
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| folder::is_folder_name(path))
            .collect();
        paths.sort();
        for path in paths {
            match Folder::adopt(&path) {
                Ok(None) => {}
                Ok(Some(folder)) => {
                    tracing::info!(
                        "spool: sending the {} bytes that a process has left in {}",
                        folder.bytes(),
                        path.display()
                    );
                    self.stats.spool_adopted.add(1);
                    adopted.folders.push(Arc::new(folder));
                }
                Err(error) => tracing::error!("spool {}: {error}", path.display()),
            }
        }
    }

    /// The folder to take entries from: those of dead processes first, until all was handed out
    /// that need not wait.
    pub(crate) fn folder_to_drain(&self) -> Arc<Folder> {
        let adopted = self.lock();
        let first = adopted.folders.iter().find(|folder| !folder.is_handed_out());
        Arc::clone(first.unwrap_or(&self.own))
    }

    /// Every folder that this process owns.
    pub(crate) fn folders(&self) -> Vec<Arc<Folder>> {
        self.lock().folders.iter().chain([&self.own]).map(Arc::clone).collect()
    }

    /// Whether nothing is left to be sent.
    pub(crate) fn is_drained(&self) -> bool {
        self.lock().folders.is_empty() && self.own.is_drained()
    }

    /// Removes an adopted folder whose records are all done.
    pub(crate) fn remove_drained(&self, folder: &Arc<Folder>) {
        self.lock().folders.retain(|adopted| !Arc::ptr_eq(adopted, folder));
        folder.remove();
    }

    /// Folders of dead processes that are still to be drained.
    pub(crate) fn adopted(&self) -> Vec<Arc<Folder>> {
        self.lock().folders.clone()
    }

    /// Keeps bytes that cannot be sent, and says where.
    pub(crate) fn set_aside(&self, folder: &Folder, what: &str, bytes: &[u8]) -> PathBuf {
        let dir = self.settings.dir.join(SET_ASIDE);
        let name = folder.path().file_name().unwrap_or_default().to_string_lossy();
        let path = dir.join(format!("{what}-{name}"));
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        let kept = made.and_then(|()| {
            fs::OpenOptions::new().create(true).append(true).open(&path)?.write_all(bytes)
        });
        if let Err(error) = kept {
            tracing::error!(
                "spool: cannot keep {} bytes in {}: {error}",
                bytes.len(),
                path.display()
            );
        }
        path
    }

    /// Writes down which records are done, and the spool's size.
    pub(crate) fn write_done(&self) {
        for folder in self.folders() {
            if let Err(error) = folder.write_done() {
                // The next process sends them once more.
                tracing::error!("spool {}: {error}", folder.path().display());
            }
        }
        self.stats.spool_bytes.set(self.own.bytes());
    }

    /// Ends this process's ownership; what is left is for the next one. Gives the number of own
    /// records and the bytes of all that are left.
    pub(crate) fn release(&self) -> (u64, u64) {
        self.write_done();
        let adopted = std::mem::take(&mut self.lock().folders);
        let left = adopted.iter().chain([&self.own]).filter(|folder| !folder.is_drained());
        let left = left.map(|folder| folder.bytes()).sum();
        let own = self.own.left();
        if self.own.is_drained() {
            self.stats.spool_bytes.set(0);
        }
        for folder in adopted.iter().chain([&self.own]) {
            folder.release();
        }
        (own, left)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.settings.dir
    }

    fn lock(&self) -> MutexGuard<'_, Adopted> {
        self.adopted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<SpoolError> for crate::Error {
    fn from(error: SpoolError) -> Self {
        match error {
            SpoolError::Io { path, source } => Self::Spool { path, source },
            SpoolError::Full { .. } => {
                let source = io::Error::other(error.to_string());
                Self::Spool { path: PathBuf::new(), source }
            }
        }
    }
}

#[cfg(test)]
mod tests;
