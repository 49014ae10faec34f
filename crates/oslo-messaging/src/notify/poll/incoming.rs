//! A message that was polled, and its answer.

use std::{fmt, sync::Arc};

use super::{batch::Batch, run::Run, shared::elsewhere};
use crate::message::Notification;

/// A notification that was polled, and must be answered: [`acknowledge`](Self::acknowledge) or
/// [`requeue`](Self::requeue).
///
/// One that is dropped instead was not handled: with `commit = after_dispatch` it is left to the
/// next owner of its partition, else it is lost, and an ERROR says so.
///
/// Mirrors `RpcIncomingMessage` of `oslo_messaging/_drivers/base.py`.
pub struct IncomingMessage {
    notification: Notification,
    /// `None`: it has its answer.
    of: Option<Of>,
}

/// What a message came with.
pub(super) enum Of {
    Run(Box<Run>),
    Batch(Arc<Batch>, usize),
}

impl IncomingMessage {
    /// What came.
    #[must_use]
    pub fn notification(&self) -> &Notification {
        &self.notification
    }

    /// The notification was handled. Gives the message that had to wait for it, if that is there
    /// already: whoever gets it handles it as one that was polled.
    #[must_use = "the next message must be handled"]
    pub fn acknowledge(mut self) -> Option<Self> {
        match self.of.take()? {
            Of::Run(run) => run.answered(true),
            Of::Batch(batch, index) => {
                batch.answered(index, true, None);
                None
            }
        }
    }

    /// The notification is to be handled again. With `commit = after_dispatch` it is polled once
    /// more after `redelivery_backoff`, at most `max_redeliveries` times, and then put on the
    /// dead-letter topic or given up with an ERROR. Else it is not redelivered: an ERROR names it,
    /// and it goes to the dead-letter topic where there is one.
    pub fn requeue(mut self) {
        let Some(of) = self.of.take() else { return };
        let notification = self.notification.clone();
        match of {
            Of::Run(run) => elsewhere(move || run.requeued(notification)),
            Of::Batch(batch, index) => batch.answered(index, true, Some(notification)),
        }
    }
}

impl Drop for IncomingMessage {
    fn drop(&mut self) {
        if self.of.is_none() {
            return;
        }
        tracing::error!(
            message_id = %self.notification.message_id,
            event_type = %self.notification.event_type,
            "a notification was let go unanswered"
        );
        self.let_go();
    }
}

impl IncomingMessage {
    pub(super) fn new(notification: Notification, of: Of) -> Self {
        Self { notification, of: Some(of) }
    }

    /// Nobody has it yet: the next owner of its partition gets it.
    pub(super) fn release(mut self) {
        self.let_go();
    }

    fn let_go(&mut self) {
        let Some(of) = self.of.take() else { return };
        match of {
            Of::Run(run) => {
                let shared = Arc::clone(&run.shared);
                shared.push(run.answered(false));
            }
            Of::Batch(batch, index) => batch.answered(index, false, None),
        }
    }
}

impl fmt::Debug for IncomingMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingMessage")
            .field("notification", &self.notification)
            .finish_non_exhaustive()
    }
}
