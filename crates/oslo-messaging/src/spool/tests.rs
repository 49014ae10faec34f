//! The spool on its own: what is on disk after each kind of end, and who may have a folder.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Entry, Folder, Next, Settings, Spool, SpoolError};
use crate::{message::Priority, stats::Stats};

/// A folder that goes with its test.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        let name = format!("oslo-spool-{}", uuid::Uuid::new_v4().simple());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn open(&self, max_kbytes: u64) -> (Spool, Arc<Stats>) {
        let stats = Arc::new(Stats::default());
        let settings =
            Settings { dir: self.0.clone(), max_bytes: max_kbytes * 1024, fsync: max_kbytes == 7 };
        (Spool::open(settings, Arc::clone(&stats)).unwrap(), stats)
    }

    fn files(&self, kind: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for folder in fs::read_dir(&self.0).unwrap().map(|folder| folder.unwrap().path()) {
            if folder.is_dir() {
                let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
                found.extend(files.filter(|file| file.extension().is_some_and(|e| e == kind)));
            }
        }
        found.sort();
        found
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn entry(n: usize) -> Entry {
    Entry {
        topic: if n.is_multiple_of(2) { "even.info" } else { "odd.info" }.to_owned(),
        message_id: format!("m-{n}"),
        event_type: "a.b".to_owned(),
        priority: Priority::Info,
        key: Some(Bytes::from_static(b"key")),
        headers: vec![("h".to_owned(), Bytes::from_static(b"v"))],
        body: Bytes::from(format!("body {n} {}", "x".repeat(n % 50))),
    }
}

fn fill(spool: &Spool, numbers: std::ops::Range<usize>) {
    for n in numbers {
        spool.append(&entry(n)).unwrap();
    }
}

/// All that a folder has to give, and where; what is damaged as `None`.
fn take(folder: &Folder) -> Vec<(Option<Entry>, super::folder::Position)> {
    let mut taken = Vec::new();
    loop {
        match folder.next(|_| false).unwrap() {
            Next::Entry(entry, position) => taken.push((Some(entry), position)),
            Next::Damage(_, position, _) => taken.push((None, position)),
            Next::Nothing => return taken,
        }
    }
}

fn ids(taken: &[(Option<Entry>, super::folder::Position)]) -> Vec<String> {
    let id = |(entry, _): &(Option<Entry>, _)| {
        entry.as_ref().map_or("damage".to_owned(), |entry| entry.message_id.clone())
    };
    taken.iter().map(id).collect()
}

fn expected(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| format!("m-{n}")).collect()
}

/// As the kernel does when a process is killed: its locks go, its files stay as they are.
fn kill(spool: Spool) {
    for folder in spool.folders() {
        folder.forget_lock();
    }
}

fn adopt(dir: &Dir) -> (Spool, Arc<Folder>) {
    let (spool, _) = dir.open(1024);
    spool.adopt_orphans(Instant::now());
    let folder = spool.folder_to_drain();
    assert!(!folder.is_own(), "nothing was adopted");
    (spool, folder)
}

#[test]
fn what_was_appended_is_there_after_a_kill_in_its_order_and_what_was_done_is_not() {
    let dir = Dir::new();
    // Segments of 128 bytes: many of them.
    let (spool, _) = dir.open(1024);
    fill(&spool, 0..100);
    let own = spool.folder_to_drain();
    let taken = take(&own);
    assert_eq!(taken.len(), 100);
    for (_, position) in &taken[..30] {
        own.done(*position);
    }
    spool.write_done();
    // Done and not written down before the end: repeated.
    own.done(taken[30].1);
    assert_eq!(own.left(), 69);
    kill(spool);
    let (spool, folder) = adopt(&dir);
    let again = take(&folder);
    assert_eq!(ids(&again), expected(30..100));
    assert_eq!(again[5].0, Some(entry(35)));
    again.iter().for_each(|(_, position)| folder.done(*position));
    assert!(folder.is_drained());
    spool.remove_drained(&folder);
    assert!(!folder.path().exists());
    assert!(spool.folder_to_drain().is_own());
}

#[test]
fn segments_go_when_all_of_their_records_are_done() {
    let dir = Dir::new();
    let (spool, _) = dir.open(8);
    fill(&spool, 0..30);
    let files = dir.files("log").len();
    assert!(files > 2, "{files}");
    let own = spool.folder_to_drain();
    for (_, position) in take(&own) {
        own.done(position);
    }
    spool.write_done();
    assert_eq!(dir.files("log").len(), 1, "the last one is appended to");
    fill(&spool, 30..60);
    assert_eq!(ids(&take(&own)), expected(30..60));
}

#[test]
fn a_full_spool_refuses_with_its_size_and_takes_more_when_it_was_drained() {
    for kbytes in [4, 7] {
        let dir = Dir::new();
        let (spool, _) = dir.open(kbytes);
        let mut count = 0;
        let error = loop {
            match spool.append(&entry(count)) {
                Ok(()) => count += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, SpoolError::Full { .. }), "{error}");
        let words = format!("of {kbytes} KiB (spool_max_kbytes)");
        assert!(error.to_string().contains(&words), "{error}");
        let own = spool.folder_to_drain();
        for (_, position) in take(&own) {
            own.done(position);
        }
        spool.write_done();
        fill(&spool, count..count + 5);
        assert_eq!(ids(&take(&own)), expected(count..count + 5));
    }
}

#[test]
fn a_torn_tail_is_cut_wherever_it_is_torn() {
    let whole = entry(3).to_bytes();
    for cut in 1..whole.len() {
        let dir = Dir::new();
        let (spool, _) = dir.open(1024);
        fill(&spool, 0..3);
        kill(spool);
        let file = dir.files("log").remove(0);
        let before = fs::metadata(&file).unwrap().len();
        let mut open = OpenOptions::new().append(true).open(&file).unwrap();
        open.write_all(&whole[..cut]).unwrap();
        let (_spool, folder) = adopt(&dir);
        assert_eq!(ids(&take(&folder)), expected(0..3), "torn after {cut} bytes");
        assert_eq!(fs::metadata(&file).unwrap().len(), before, "torn after {cut} bytes");
    }
}

#[test]
fn zeros_behind_the_last_record_are_a_torn_tail() {
    let dir = Dir::new();
    let (spool, _) = dir.open(1024);
    fill(&spool, 0..3);
    kill(spool);
    let file = dir.files("log").remove(0);
    OpenOptions::new().append(true).open(file).unwrap().write_all(&[0; 4096]).unwrap();
    let (_spool, folder) = adopt(&dir);
    assert_eq!(ids(&take(&folder)), expected(0..3));
}

#[test]
fn a_damaged_record_is_skipped_once_and_its_bytes_are_kept() {
    let lengths: Vec<usize> = (0..5).map(|n| entry(n).to_bytes().len()).collect();
    let begin = lengths[0] + lengths[1];
    // Each byte of the third of five records, and the last record of all.
    for at in (begin..begin + lengths[2]).chain([lengths.iter().sum::<usize>() - 1]) {
        let dir = Dir::new();
        let (spool, _) = dir.open(1024);
        fill(&spool, 0..5);
        kill(spool);
        let file = dir.files("log").remove(0);
        let mut bytes = fs::read(&file).unwrap();
        bytes[at] ^= 0x55;
        fs::write(&file, &bytes).unwrap();
        let (spool, folder) = adopt(&dir);
        let taken = take(&folder);
        let mut wanted = expected(0..5);
        wanted[if at < begin + lengths[2] { 2 } else { 4 }] = "damage".to_owned();
        assert_eq!(ids(&taken), wanted, "byte {at}");
        let (_, position) = *taken.iter().find(|(entry, _)| entry.is_none()).unwrap();
        let damaged = folder.raw(position).unwrap();
        let kept = spool.set_aside(&folder, "damaged", &damaged);
        assert_eq!(fs::read(&kept).unwrap(), damaged);
        assert!(kept.starts_with(dir.0.join("set-aside")));
        folder.done(position);
        spool.write_done();
        folder.rewind();
        assert!(take(&folder).is_empty(), "all are in flight or done");
        kill(spool);
        let (_spool, folder) = adopt(&dir);
        assert!(!ids(&take(&folder)).contains(&"damage".to_owned()), "set aside twice");
    }
}

#[test]
fn records_that_wait_are_handed_out_after_a_rewind_and_others_before() {
    let dir = Dir::new();
    let (spool, _) = dir.open(1024);
    fill(&spool, 0..10);
    let own = spool.folder_to_drain();
    let mut first = Vec::new();
    while let Next::Entry(entry, position) = own.next(|e| e.topic == "odd.info").unwrap() {
        first.push((Some(entry), position));
    }
    assert_eq!(ids(&first), ["m-0", "m-2", "m-4", "m-6", "m-8"]);
    assert!(own.has_skipped());
    own.done(first[0].1);
    own.not_done(first[1].1);
    own.rewind();
    assert_eq!(ids(&take(&own)), ["m-1", "m-2", "m-3", "m-5", "m-7", "m-9"]);
    assert!(!own.is_drained());
}

#[test]
fn a_folder_has_one_owner_in_a_process_and_dead_ones_are_drained_first() {
    let dir = Dir::new();
    let (first, _) = dir.open(1024);
    fill(&first, 0..3);
    let (second, stats) = dir.open(1024);
    let start = Instant::now();
    second.adopt_orphans(start);
    assert!(second.folder_to_drain().is_own(), "its owner lives");
    kill(first);
    second.adopt_orphans(start + Duration::from_secs(29));
    assert!(second.folder_to_drain().is_own(), "it is looked for every 30 s");
    second.adopt_orphans(start + Duration::from_secs(31));
    let adopted = second.folder_to_drain();
    assert!(!adopted.is_own());
    assert_eq!(stats.spool_adopted.get(), 1);
    assert_eq!(ids(&take(&adopted)), expected(0..3));
    adopted.set_handed_out();
    assert!(second.folder_to_drain().is_own());
    assert!(!second.is_drained());
}

/// Whether another process can lock a folder. Python's `lockf` is an fcntl record lock.
fn is_locked_for_others(folder: &Path) -> bool {
    let program =
        "import fcntl,sys\nf=open(sys.argv[1],'r+')\nfcntl.lockf(f,fcntl.LOCK_EX|fcntl.LOCK_NB)";
    let ended = Command::new("python3").args(["-c", program]).arg(folder.join("lock")).output();
    let ended = ended.unwrap();
    let words = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success() || words.contains("BlockingIOError"), "{words}");
    !ended.status.success()
}

#[test]
fn a_folder_is_locked_for_other_processes_until_it_is_released() {
    let dir = Dir::new();
    let (spool, _) = dir.open(1024);
    fill(&spool, 0..3);
    let own = spool.folder_to_drain();
    assert!(is_locked_for_others(own.path()));
    // Looking for orphans must not open and close the own lock: that would end it.
    spool.adopt_orphans(Instant::now());
    assert!(is_locked_for_others(own.path()));
    assert_eq!(spool.release(), (3, own.bytes()));
    assert!(!is_locked_for_others(own.path()));
    assert!(spool.append(&entry(4)).is_err(), "nothing is taken after the release");
}

#[test]
fn only_their_owner_can_read_what_is_spooled() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Dir::new();
    let (spool, _) = dir.open(1024);
    let own = spool.folder_to_drain();
    let kept = spool.set_aside(&own, "damaged", b"secret");
    for path in [own.path(), kept.parent().unwrap()] {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
}

#[test]
fn a_spool_that_is_released_empty_leaves_nothing() {
    let dir = Dir::new();
    let (spool, _) = dir.open(1024);
    fill(&spool, 0..3);
    let own = spool.folder_to_drain();
    for (_, position) in take(&own) {
        own.done(position);
    }
    assert_eq!(spool.release(), (0, 0));
    assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 0);
}

#[test]
fn a_folder_that_cannot_be_used_is_an_error_with_its_path() {
    let dir = Dir::new();
    let file = dir.0.join("file");
    fs::write(&file, "").unwrap();
    let settings = Settings { dir: file.clone(), max_bytes: 1024, fsync: false };
    let error = Spool::open(settings, Arc::default()).unwrap_err();
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
}
