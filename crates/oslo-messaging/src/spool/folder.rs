//! One folder of the spool: its segments, where reading is, and which records are done.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    entry::Entry,
    lock::Lock,
    segment::{self, Found},
};

/// Which record of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    segment: u64,
    index: u32,
    at: u64,
}

/// What a folder has next.
#[derive(Debug)]
pub(crate) enum Next {
    Entry(Entry, Position),
    /// Bytes that are no record. They count as one record, which the caller says is done.
    Damage(Vec<u8>, Position, PathBuf),
    /// Nothing that was not handed out.
    Nothing,
}

/// A folder that this process owns: its own, which it appends to, or that of a dead one.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    is_own: bool,
    segment_bytes: u64,
    fsync: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    lock: Option<Lock>,
    segments: BTreeMap<u64, Segment>,
    /// The segment that is appended to.
    writer: Option<File>,
    cursor: Cursor,
    /// Records that were handed out and are not done.
    in_flight: usize,
    /// Records before the cursor are neither done nor in flight.
    has_skipped: bool,
    /// All others were handed out.
    is_handed_out: bool,
}

#[derive(Debug, Default)]
struct Cursor {
    segment: u64,
    at: u64,
    index: u32,
    file: Option<File>,
}

#[derive(Debug, Default)]
struct Segment {
    /// Bytes of whole records, as far as they are known.
    end: u64,
    /// Records appended by this process.
    appended: u64,
    /// The number of its records, once the end was read and nothing more is appended.
    count: Option<u32>,
    records: Vec<Progress>,
    done: u32,
    /// Done, and not written down yet.
    unwritten: Vec<u32>,
    done_file: Option<File>,
}

/// What is known of one record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Progress {
    #[default]
    Waiting,
    InFlight,
    Done,
}

impl Segment {
    /// Sets a record's progress and gives what it was.
    fn set(&mut self, index: u32, progress: Progress) -> Progress {
        let place = index as usize;
        if self.records.len() <= place {
            self.records.resize(place + 1, Progress::Waiting);
        }
        let before = std::mem::replace(&mut self.records[place], progress);
        if progress == Progress::Done && before != Progress::Done {
            self.done += 1;
        }
        before
    }

    fn is_waiting(&self, index: u32) -> bool {
        self.records.get(index as usize).is_none_or(|found| *found == Progress::Waiting)
    }

    fn is_drained(&self) -> bool {
        self.count == Some(self.done)
    }
}

/// Whether a path is named as the folder of a process.
pub(super) fn is_folder_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.strip_prefix('p').is_some_and(|rest| rest.contains('-')) && path.is_dir()
}

impl Folder {
    /// Makes a folder of this process in `dir`. It has its name once it is locked.
    pub(super) fn create(dir: &Path, segment_bytes: u64, fsync: bool) -> io::Result<Self> {
        // Two ways to one folder must not look like two.
        let dir = dir.canonicalize()?;
        let random = uuid::Uuid::new_v4().simple().to_string();
        let name = format!("p{}-{}", process::id(), &random[..8]);
        let (making, path) = (dir.join(format!(".{name}")), dir.join(&name));
        // Notifications have tokens and passwords: their files are their owner's.
        DirBuilder::new().mode(0o700).create(&making)?;
        let Some(mut lock) = Lock::try_new(&making)? else {
            return Err(io::Error::other("another process has a folder of the same name"));
        };
        fs::rename(&making, &path)?;
        lock.renamed(&path);
        if fsync {
            File::open(&dir)?.sync_all()?;
        }
        let state = State::new(lock, BTreeMap::new());
        Ok(Self { path, is_own: true, segment_bytes, fsync, state: Mutex::new(state) })
    }

    /// Takes over the folder of a process that has ended; `None` while its owner lives.
    pub(super) fn adopt(path: &Path) -> io::Result<Option<Self>> {
        let found = path.canonicalize().and_then(|path| Ok((Lock::try_new(&path)?, path)));
        let (lock, path) = match found {
            Ok((Some(lock), path)) => (lock, path),
            Ok((None, _)) => return Ok(None),
            // Another process has sent it all meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut segments = BTreeMap::new();
        for file in fs::read_dir(&path)? {
            let file = file?.path();
            let number = file.file_stem().and_then(OsStr::to_str).and_then(|n| n.parse().ok());
            let (Some(number), Some("log")) = (number, file.extension().and_then(OsStr::to_str))
            else {
                continue;
            };
            let mut segment = Segment { end: file.metadata()?.len(), ..Segment::default() };
            for index in read_done(&file.with_extension("done"))? {
                segment.set(index, Progress::Done);
            }
            segments.insert(number, segment);
        }
        let state = Mutex::new(State::new(lock, segments));
        Ok(Some(Self { path, is_own: false, segment_bytes: 0, fsync: false, state }))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_own(&self) -> bool {
        self.is_own
    }

    /// Bytes of the segments that are still there.
    pub(crate) fn bytes(&self) -> u64 {
        self.lock().bytes()
    }

    /// Records that this process appended and that are not done.
    pub(crate) fn left(&self) -> u64 {
        let state = self.lock();
        let left = |segment: &Segment| segment.appended.saturating_sub(u64::from(segment.done));
        state.segments.values().map(left).sum()
    }

    /// Whether every record is done.
    pub(crate) fn is_drained(&self) -> bool {
        let state = self.lock();
        let drained = |segment: &Segment| {
            segment.is_drained() || (self.is_own && segment.appended == u64::from(segment.done))
        };
        state.in_flight == 0 && state.segments.values().all(drained)
    }

    /// Appends the bytes of a record; gives the bytes of the folder, or `None` when it is full.
    pub(super) fn append(&self, bytes: &[u8], max_bytes: u64) -> io::Result<Option<u64>> {
        let mut state = self.lock();
        if state.lock.is_none() {
            return Err(io::Error::other("the spool is closed"));
        }
        let (size, total) = (bytes.len() as u64, state.bytes());
        if total + size > max_bytes {
            return Ok(None);
        }
        let full = match state.segments.last_key_value() {
            Some((_, last)) if state.writer.is_some() => last.end + size > self.segment_bytes,
            _ => true,
        };
        if full {
            self.next_segment(&mut state)?;
        }
        let State { segments, writer, .. } = &mut *state;
        let (Some(mut segment), Some(file)) = (segments.last_entry(), writer) else {
            return Err(io::Error::other("no segment to append to"));
        };
        let segment = segment.get_mut();
        let written = file.write_all(bytes).and_then(|()| match self.fsync {
            true => file.sync_data(),
            false => Ok(()),
        });
        if let Err(error) = written {
            // What was written of it must not stand before the next record.
            file.set_len(segment.end)?;
            return Err(error);
        }
        segment.end += size;
        segment.appended += 1;
        Ok(Some(total + size))
    }

    fn next_segment(&self, state: &mut State) -> io::Result<()> {
        let number = state.segments.last_key_value().map_or(1, |(last, _)| last + 1);
        let number = number.max(state.cursor.segment + 1);
        let path = self.file(number, "log");
        let file = OpenOptions::new().create_new(true).append(true).open(path)?;
        if self.fsync {
            File::open(&self.path)?.sync_all()?;
        }
        if let Some(mut last) = state.segments.last_entry() {
            let last = last.get_mut();
            last.count = u32::try_from(last.appended).ok();
        }
        state.segments.insert(number, Segment::default());
        state.writer = Some(file);
        Ok(())
    }

    /// The next record that is neither done nor handed out, in the order of the appends.
    ///
    /// `skip` says which topics have to wait; their records are handed out after a
    /// [`rewind`](Self::rewind).
    pub(crate) fn next(&self, skip: impl Fn(&Entry) -> bool) -> io::Result<Next> {
        let mut state = self.lock();
        loop {
            let State { segments, cursor, in_flight, has_skipped, .. } = &mut *state;
            let Some((&number, segment)) = segments.range_mut(cursor.segment..).next() else {
                return Ok(Next::Nothing);
            };
            if number != cursor.segment {
                *cursor = Cursor { segment: number, ..Cursor::default() };
            }
            let file = match &mut cursor.file {
                Some(file) => file,
                none => none.insert(File::open(self.file(number, "log"))?),
            };
            let position = Position { segment: number, index: cursor.index, at: cursor.at };
            match segment::read(file, cursor.at, segment.end)? {
                Found::Entry(entry, next) => {
                    (cursor.at, cursor.index) = (next, cursor.index + 1);
                    if !segment.is_waiting(position.index) {
                        continue;
                    }
                    if skip(&entry) {
                        *has_skipped = true;
                        continue;
                    }
                    *in_flight += 1;
                    segment.set(position.index, Progress::InFlight);
                    return Ok(Next::Entry(entry, position));
                }
                Found::Damage(bytes, next) => {
                    (cursor.at, cursor.index) = (next, cursor.index + 1);
                    if !segment.is_waiting(position.index) {
                        continue;
                    }
                    *in_flight += 1;
                    segment.set(position.index, Progress::InFlight);
                    return Ok(Next::Damage(bytes, position, self.file(number, "log")));
                }
                Found::Torn => {
                    let cut = segment.end - cursor.at;
                    tracing::warn!(
                        "spool {}: its process ended while it wrote: {cut} bytes of a record \
                         that was never accepted are cut off",
                        self.file(number, "log").display()
                    );
                    OpenOptions::new()
                        .write(true)
                        .open(self.file(number, "log"))?
                        .set_len(cursor.at)?;
                    segment.end = cursor.at;
                }
                Found::End => {
                    if !self.is_own {
                        segment.count = Some(cursor.index);
                    }
                    let is_last = segments.range(number + 1..).next().is_none();
                    self.remove_if_drained(segments, number);
                    if is_last {
                        return Ok(Next::Nothing);
                    }
                    *cursor = Cursor { segment: number + 1, ..Cursor::default() };
                }
            }
        }
    }

    /// Whether a [`rewind`](Self::rewind) would find records.
    pub(crate) fn has_skipped(&self) -> bool {
        self.lock().has_skipped
    }

    /// Begins again with the first record that is neither done nor in flight.
    pub(crate) fn rewind(&self) {
        let mut state = self.lock();
        if let Some(&segment) = state.segments.keys().next() {
            state.cursor = Cursor { segment, ..Cursor::default() };
        }
        (state.has_skipped, state.is_handed_out) = (false, false);
    }

    /// All records were handed out that need not wait: the next folder's turn.
    pub(crate) fn set_handed_out(&self) {
        self.lock().is_handed_out = true;
    }

    pub(super) fn is_handed_out(&self) -> bool {
        self.lock().is_handed_out
    }

    /// The bytes of a record, to be set aside.
    pub(crate) fn raw(&self, position: Position) -> io::Result<Vec<u8>> {
        let file = File::open(self.file(position.segment, "log"))?;
        let end = file.metadata()?.len();
        match segment::read(&file, position.at, end)? {
            Found::Entry(entry, _) => Ok(entry.to_bytes()),
            Found::Damage(bytes, _) => Ok(bytes),
            Found::Torn | Found::End => Ok(Vec::new()),
        }
    }

    /// The broker has the record, or it will never have it.
    pub(crate) fn done(&self, position: Position) {
        let mut state = self.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
        if let Some(segment) = state.segments.get_mut(&position.segment)
            && segment.set(position.index, Progress::Done) != Progress::Done
        {
            segment.unwritten.push(position.index);
        }
    }

    /// The record was not taken: it stays, for [`rewind`](Self::rewind) or the next process.
    pub(crate) fn not_done(&self, position: Position) {
        let mut state = self.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
        state.has_skipped = true;
        if let Some(segment) = state.segments.get_mut(&position.segment) {
            segment.set(position.index, Progress::Waiting);
        }
    }

    /// Writes down which records are done, and removes the segments that have no others.
    pub(super) fn write_done(&self) -> io::Result<()> {
        let mut state = self.lock();
        if state.lock.is_none() {
            return Ok(());
        }
        let numbers: Vec<u64> = state.segments.keys().copied().collect();
        for number in numbers {
            let Some(segment) = state.segments.get_mut(&number) else { continue };
            if segment.is_drained() {
                self.remove_if_drained(&mut state.segments, number);
                continue;
            }
            if segment.unwritten.is_empty() {
                continue;
            }
            let file = match &mut segment.done_file {
                Some(file) => file,
                none => none.insert(
                    OpenOptions::new().create(true).append(true).open(self.file(number, "done"))?,
                ),
            };
            let pair = |index: &u32| [index.to_le_bytes(), (!index).to_le_bytes()].concat();
            let bytes: Vec<u8> = segment.unwritten.iter().flat_map(pair).collect();
            file.write_all(&bytes)?;
            segment.unwritten.clear();
        }
        Ok(())
    }

    fn remove_if_drained(&self, segments: &mut BTreeMap<u64, Segment>, number: u64) {
        if !segments.get(&number).is_some_and(Segment::is_drained) {
            return;
        }
        // The records first: without them, what says that they are done is of no use.
        for kind in ["log", "done"] {
            match fs::remove_file(self.file(number, kind)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::error!("spool {}: {error}", self.file(number, kind).display());
                }
            }
        }
        segments.remove(&number);
    }

    /// Removes the folder with all that is in it.
    pub(super) fn remove(&self) {
        let mut state = self.lock();
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::error!("spool {}: {error}", self.path.display());
        }
        state.lock = None;
    }

    /// Ends the ownership; the folder goes if nothing is left in it.
    pub(super) fn release(&self) {
        if self.is_drained() {
            return self.remove();
        }
        let mut state = self.lock();
        state.writer = None;
        state.lock = None;
    }

    /// What the kernel does with the locks of a process that is killed.
    #[cfg(test)]
    pub(super) fn forget_lock(&self) {
        let mut state = self.lock();
        (state.lock, state.writer) = (None, None);
    }

    fn file(&self, number: u64, kind: &str) -> PathBuf {
        self.path.join(format!("{number:020}.{kind}"))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(lock: Lock, segments: BTreeMap<u64, Segment>) -> Self {
        let cursor = Cursor::default();
        Self {
            lock: Some(lock),
            segments,
            writer: None,
            cursor,
            in_flight: 0,
            has_skipped: false,
            is_handed_out: false,
        }
    }

    fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.end).sum()
    }
}

/// The numbers of the records that are done; what is not whole is left out.
fn read_done(path: &Path) -> io::Result<Vec<u32>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(mut file) => file.read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    let (pairs, _) = bytes.as_chunks::<8>();
    let index = |pair: &[u8; 8]| {
        let [a, b, c, d, e, f, g, h] = *pair;
        let (index, inverse) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        (index == !inverse).then_some(index)
    };
    Ok(pairs.iter().filter_map(index).collect())
}

/// A record in flight of a folder.
#[derive(Clone, Debug)]
pub(crate) struct Spooled {
    pub(crate) folder: Arc<Folder>,
    pub(crate) position: Position,
}
