//! Names that no other test uses, in this process or another one.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};

/// Makes a name for a topic or a group that nothing else has, such as `orders-5c21-0-9f3a11d2`.
///
/// It has only characters that are legal in both if `prefix` has.
pub fn unique(prefix: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    // Process ids come back, and a broker may outlast the process that made a name: hence the random part.
    let random = RandomState::new().hash_one(count) as u32;
    format!("{prefix}-{:x}-{count:x}-{random:08x}", std::process::id())
}
