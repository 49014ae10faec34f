//! Threads that wait for work and do it, as many as there is work for.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::Error;

/// At first one thread is added; after that one more by whoever was the last that waited.
#[derive(Debug)]
pub(crate) struct Threads {
    name: &'static str,
    max: usize,
    /// How many wait for work.
    idle: AtomicUsize,
    running: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    /// At most `max`, which are named after what they are for: `listener-0`.
    pub(crate) fn new(name: &'static str, max: usize) -> Self {
        Self { name, max: max.max(1), idle: AtomicUsize::new(0), running: Mutex::default() }
    }

    /// Starts one more unless there are enough.
    pub(crate) fn add(&self, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let mut running = self.running();
        if running.len() >= self.max {
            return Ok(());
        }
        let thread = thread::Builder::new()
            .name(format!("{}-{}", self.name, running.len()))
            .spawn(work)
            .map_err(|source| Error::Broker {
                driver: self.name,
                operation: "start a worker thread".to_owned(),
                source: Box::new(source),
            })?;
        running.push(thread);
        Ok(())
    }

    /// Waits for work; if nobody else waits for the next then, adds a thread that does.
    pub(crate) fn wait_for<T>(
        &self,
        receive: impl FnOnce() -> Option<T>,
        next: impl FnOnce() -> Result<(), Error>,
    ) -> Option<T> {
        self.idle.fetch_add(1, Ordering::SeqCst);
        let received = receive();
        let was_last = self.idle.fetch_sub(1, Ordering::SeqCst) == 1;
        if received.is_some()
            && was_last
            && let Err(error) = next()
        {
            tracing::warn!("going on with fewer workers: {error}");
        }
        received
    }

    /// Waits until they have ended, at most until then; how many have not. A thread that calls this is
    /// not waited for.
    pub(crate) fn join(&self, until: Instant) -> usize {
        let mut left = std::mem::take(&mut *self.running());
        left.retain(|thread| thread.thread().id() != thread::current().id());
        loop {
            for thread in left.extract_if(.., |thread| thread.is_finished()) {
                if thread.join().is_err() {
                    tracing::error!("a worker of a {} panicked", self.name);
                }
            }
            if left.is_empty() || Instant::now() >= until {
                return left.len();
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn running(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Barrier, mpsc},
        time::{Duration, Instant},
    };

    use super::Threads;
    use crate::Error;

    const LIMIT: Duration = Duration::from_secs(10);

    fn add(
        threads: &Arc<Threads>,
        work: &Arc<std::sync::Mutex<mpsc::Receiver<Arc<Barrier>>>>,
    ) -> Result<(), Error> {
        let (own, jobs) = (Arc::clone(threads), Arc::clone(work));
        threads.add(move || {
            let next = || jobs.lock().unwrap().recv().ok();
            while let Some(barrier) = own.wait_for(next, || add(&own, &jobs)) {
                barrier.wait();
            }
        })
    }

    #[test]
    fn there_are_as_many_as_there_is_work_for_and_no_more_than_allowed() {
        let (jobs, work) = mpsc::channel();
        let (threads, work) =
            (Arc::new(Threads::new("test", 3)), Arc::new(std::sync::Mutex::new(work)));
        add(&threads, &work).unwrap();
        assert_eq!(threads.running().len(), 1);
        // Each waits for the two others.
        let together = Arc::new(Barrier::new(3));
        for _ in 0..6 {
            jobs.send(Arc::clone(&together)).unwrap();
        }
        drop(jobs);
        let begun = Instant::now();
        assert_eq!(threads.join(begun + LIMIT), 0);
        assert!(begun.elapsed() < LIMIT);
    }

    #[test]
    fn a_thread_that_does_not_end_is_counted_and_one_that_asks_is_not_waited_for() {
        let threads = Arc::new(Threads::new("test", 2));
        let (end, ends) = mpsc::channel::<()>();
        threads.add(move || assert!(ends.recv().is_err())).unwrap();
        assert_eq!(threads.join(Instant::now()), 1);
        drop(end);
        let (own, (tell, told)) = (Arc::clone(&threads), mpsc::channel());
        threads.add(move || tell.send(own.join(Instant::now() + LIMIT)).unwrap()).unwrap();
        assert_eq!(told.recv_timeout(LIMIT / 2).unwrap(), 0);
    }
}
