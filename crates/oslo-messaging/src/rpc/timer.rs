//! One thread for the timeouts of calls that are awaited: who blocks looks at the clock himself.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{
        Arc, LazyLock, Weak,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use super::call::Call;

/// Longest sleep when there is nothing to watch.
const IDLE: Duration = Duration::from_secs(3600);

static TIMER: LazyLock<Sender<Weak<Call>>> = LazyLock::new(|| {
    let (sender, receiver) = mpsc::channel::<Weak<Call>>();
    let run = move || {
        let mut watched: BinaryHeap<Reverse<Due>> = BinaryHeap::new();
        loop {
            let now = Instant::now();
            while watched.peek().is_some_and(|Reverse(due)| due.at <= now) {
                let Some(Reverse(due)) = watched.pop() else { break };
                if let Some(at) = due.call.upgrade().and_then(|call| call.expire(now)) {
                    watched.push(Reverse(Due { at, call: due.call }));
                }
            }
            let sleep = watched.peek().map_or(IDLE, |Reverse(due)| due.at - now);
            match receiver.recv_timeout(sleep) {
                Ok(call) => {
                    if let Some(at) = call.upgrade().and_then(|call| call.expire(now)) {
                        watched.push(Reverse(Due { at, call }));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    };
    if let Err(error) = thread::Builder::new().name("rpc-timer".to_owned()).spawn(run) {
        tracing::error!("calls that are awaited have no timeout: {error}");
    }
    sender
});

/// Ends the call when its time is over.
pub(super) fn watch(call: &Arc<Call>) {
    // The thread ends only with the process.
    let _ = TIMER.send(Arc::downgrade(call));
}

struct Due {
    at: Instant,
    call: Weak<Call>,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}
