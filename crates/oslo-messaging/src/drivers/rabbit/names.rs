//! Names of the queues that are one process's alone: random, or counted on the host so that a
//! service finds its queues again after a restart (`use_queue_manager`).

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Seek, Write},
    path::PathBuf,
};

use rustix::{
    fs::{FlockOperation, flock},
    process::{getpgrp, getpid},
};

use super::{config::RabbitOptions, message::new_id};

impl RabbitOptions {
    /// What makes the name of a process's queue its own.
    pub(super) fn unique_name(&self) -> String {
        let Some((host, process)) = &self.queue_names else { return new_id() };
        match count(host, process) {
            Ok(number) => format!("{host}:{process}:{number}"),
            Err(error) => {
                let path = counter(host, process);
                tracing::error!(
                    ?path,
                    "no number for a queue's name, a random one is used: {error}"
                );
                new_id()
            }
        }
    }
}

fn counter(host: &str, process: &str) -> PathBuf {
    let name = format!("{host}_{process}_qmanager").replace('/', "_");
    PathBuf::from("/dev/shm").join(name)
}

/// The next number of this host and process name; 1 for a process group that has none yet. The file
/// is the reference's: `group:number:start of the group's process`.
fn count(host: &str, process: &str) -> io::Result<u64> {
    let group = getpgrp().as_raw_nonzero().get();
    let started = started(group).or_else(|_| started(getpid().as_raw_nonzero().get()))?;
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(counter(host, process))?;
    flock(&file, FlockOperation::LockExclusive)?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let parts: Vec<&str> = text.trim().split(':').collect();
    let number = match parts[..] {
        [known, number, since] if known == group.to_string() && since == started => {
            number.parse::<u64>().unwrap_or(0) + 1
        }
        _ => 1,
    };
    file.rewind()?;
    file.set_len(0)?;
    write!(file, "{group}:{number}:{started}")?;
    Ok(number)
}

/// When a process began, as the system tells it.
fn started(process: i32) -> io::Result<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let field = stat.split_whitespace().nth(21);
    field.map(str::to_owned).ok_or_else(|| io::Error::other("/proc/PID/stat is too short"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{count, counter};

    #[test]
    fn queues_of_a_process_group_are_numbered_and_begin_anew_with_another() {
        let (host, process) = ("host/1", uuid::Uuid::new_v4().to_string());
        let path = counter(host, &process);
        assert_eq!((1..=3).map(|_| count(host, &process).unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.split(':').nth(1), Some("3"), "{text}");
        fs::write(&path, "1:77:1").unwrap();
        assert_eq!(count(host, &process).unwrap(), 1, "of another process group");
        fs::write(&path, "nonsense").unwrap();
        assert_eq!(count(host, &process).unwrap(), 1);
        fs::remove_file(path).unwrap();
    }
}
