//! One owner for each folder: a lock of the kernel's between processes, a list within one.
//!
//! The lock is an fcntl record lock: it belongs to the process and ends with it. An flock belongs
//! to the open file, which a forked child shares: it would keep a dead parent's folder locked.
//! Record locks do not hold within one process, hence the list.

use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
    process,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::fs::{FlockOperation, fcntl_lock};

/// The folders of this process, and which process that is: a forked child owns none.
static OWNED: Mutex<Option<(u32, HashSet<PathBuf>)>> = Mutex::new(None);

/// The ownership of one folder, until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    /// Closing any handle of the file would end the lock: this is the only one.
    _file: File,
}

impl Lock {
    /// Locks a folder by its file `lock`; `None` when another process, or this one, has it.
    pub(super) fn try_new(folder: &Path) -> io::Result<Option<Self>> {
        let mut owned = owned();
        let Some((_, folders)) = &mut *owned else { return Ok(None) };
        // Opening the file a second time and closing it again would end this process's own lock.
        if folders.contains(folder) {
            return Ok(None);
        }
        let path = folder.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                folders.insert(folder.to_owned());
                Ok(Some(Self { path: folder.to_owned(), _file: file }))
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The folder has another name now.
    pub(super) fn renamed(&mut self, folder: &Path) {
        if let Some((_, folders)) = &mut *owned() {
            folders.remove(&self.path);
            folders.insert(folder.to_owned());
        }
        folder.clone_into(&mut self.path);
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some((_, folders)) = &mut *owned() {
            folders.remove(&self.path);
        }
    }
}

fn owned() -> MutexGuard<'static, Option<(u32, HashSet<PathBuf>)>> {
    let mut owned = OWNED.lock().unwrap_or_else(PoisonError::into_inner);
    let pid = process::id();
    if owned.as_ref().is_none_or(|(of, _)| *of != pid) {
        *owned = Some((pid, HashSet::new()));
    }
    owned
}
