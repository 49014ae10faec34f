//! The user and the password that the clients of a transport log in with, which may change while they
//! run.
//!
//! Read wherever a client is made and a token is asked for; a client that runs looks here whether there
//! is something new, on the thread that serves it.

use std::sync::{
    PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

use crate::Secret;

/// What all clients of a transport share.
#[derive(Debug, Default)]
pub(super) struct Login {
    current: RwLock<Option<Credentials>>,
    /// How often they have changed.
    version: AtomicU64,
}

/// A user and his password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: Secret,
}

impl Login {
    pub(super) fn new(credentials: Option<Credentials>) -> Self {
        Self { current: RwLock::new(credentials), version: AtomicU64::new(0) }
    }

    pub(super) fn get(&self) -> Option<Credentials> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, credentials: Credentials) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(credentials);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// What has changed since a client last looked, which notes that in `seen`. A new client begins
    /// with 0.
    pub(super) fn news(&self, seen: &AtomicU64) -> Option<Credentials> {
        let version = self.version.load(Ordering::Acquire);
        if seen.swap(version, Ordering::Relaxed) == version {
            return None;
        }
        self.get()
    }
}

#[cfg(test)]
mod tests {
    use super::{AtomicU64, Credentials, Login, Secret};

    #[test]
    fn a_change_is_told_to_each_client_once() {
        let credentials = |password: &str| Credentials {
            user: "nova".to_owned(),
            password: Secret::new(password),
        };
        let login = Login::new(Some(credentials("old")));
        let (one, other) = (AtomicU64::new(0), AtomicU64::new(0));
        assert_eq!(login.news(&one), None);
        login.set(credentials("new"));
        for seen in [&one, &other] {
            assert_eq!(login.news(seen), Some(credentials("new")));
            assert_eq!(login.news(seen), None);
        }
    }
}
