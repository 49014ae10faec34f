//! What a program may do to payloads and contexts on their way out and in.
//!
//! Called by the notifier before its sinks and by the dispatcher before filters and endpoints;
//! neither does anything where no serializer is set.

use std::error::Error;

use crate::message::{Context, Notification, Payload};

/// What a serializer may fail with. On the way out the receipt says so; on the way in the
/// notification is logged, counted as undecodable, and skipped.
pub type SerializerError = Box<dyn Error + Send + Sync>;

/// Turns payloads and contexts into what travels, and back. What is not written stays as it is.
///
/// Called on the threads that notify and on the listener's workers, from several at once.
///
/// ```
/// use oslo_messaging::{Context, Payload, Serializer, SerializerError};
///
/// /// Puts payloads into an envelope.
/// struct Versioned;
///
/// impl Serializer for Versioned {
///     fn serialize_entity(
///         &self,
///         _: &Context,
///         payload: Payload,
///     ) -> Result<Payload, SerializerError> {
///         Ok(Payload::from_json(format!("{{\"v\": 1, \"data\": {}}}", payload.as_json()))?)
///     }
/// }
/// let sent = Versioned.serialize_entity(&Context::empty(), Payload::null())?;
/// assert_eq!(sent.as_json(), r#"{"v": 1, "data": null}"#);
/// # Ok::<(), SerializerError>(())
/// ```
///
/// Mirrors `oslo_messaging/serializer.py`. There a serializer is also where objects become JSON;
/// here [`Payload::serialize`] does that.
pub trait Serializer: Send + Sync + 'static {
    /// Makes what travels of a payload; `context` is as the caller gave it.
    ///
    /// # Errors
    ///
    /// Anything; nothing is sent then.
    fn serialize_entity(
        &self,
        context: &Context,
        payload: Payload,
    ) -> Result<Payload, SerializerError> {
        let _ = context;
        Ok(payload)
    }

    /// Makes a payload of what travelled; `context` is deserialized already.
    ///
    /// # Errors
    ///
    /// Anything; the notification is skipped then.
    fn deserialize_entity(
        &self,
        context: &Context,
        payload: Payload,
    ) -> Result<Payload, SerializerError> {
        let _ = context;
        Ok(payload)
    }

    /// Makes what travels of a context.
    ///
    /// # Errors
    ///
    /// Anything; nothing is sent then.
    fn serialize_context(&self, context: Context) -> Result<Context, SerializerError> {
        Ok(context)
    }

    /// Makes a context of what travelled.
    ///
    /// # Errors
    ///
    /// Anything; the notification is skipped then.
    fn deserialize_context(&self, context: Context) -> Result<Context, SerializerError> {
        Ok(context)
    }
}

/// Leaves everything as it is: the same as no serializer at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoOpSerializer;

impl Serializer for NoOpSerializer {}

/// The notification as it travels.
pub(super) fn outward(
    serializer: &dyn Serializer,
    notification: &Notification,
) -> Result<Notification, SerializerError> {
    let mut sent = notification.clone();
    sent.payload = serializer.serialize_entity(&notification.context, sent.payload)?;
    sent.context = serializer.serialize_context(sent.context)?;
    Ok(sent)
}

/// The notification as endpoints get it.
pub(super) fn inward(
    serializer: &dyn Serializer,
    mut received: Notification,
) -> Result<Notification, SerializerError> {
    received.context = serializer.deserialize_context(received.context)?;
    received.payload = serializer.deserialize_entity(&received.context, received.payload)?;
    Ok(received)
}

#[cfg(test)]
#[cfg(feature = "fake")]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::{NoOpSerializer, Serializer, SerializerError};
    use crate::{
        Cause, Context, Error, Listener, Notification, Notifier, Outcome, Payload, Priority,
        Target, Transport, endpoint_fn,
    };

    const LIMIT: Duration = Duration::from_secs(10);

    /// Wraps payloads with the user, renames the context's only key, refuses and panics on demand.
    struct Wrap;

    impl Serializer for Wrap {
        fn serialize_entity(
            &self,
            context: &Context,
            payload: Payload,
        ) -> Result<Payload, SerializerError> {
            if payload.as_json() == "\"refuse\"" {
                return Err("will not".into());
            }
            let user = context.string_at("user").unwrap_or_default();
            Ok(Payload::from_json(format!("{{\"{user}\": {}}}", payload.as_json()))?)
        }

        fn deserialize_entity(
            &self,
            context: &Context,
            payload: Payload,
        ) -> Result<Payload, SerializerError> {
            let user = context.string_at("user").unwrap_or_default();
            let text = payload.string_at(&user).ok_or("no such user")?;
            assert_ne!(text, "panic", "on demand");
            Ok(Payload::from(serde_json::Value::from(text)))
        }

        fn serialize_context(&self, context: Context) -> Result<Context, SerializerError> {
            Ok(Context::from_json(context.as_json().replace("user", "u"))?)
        }

        fn deserialize_context(&self, context: Context) -> Result<Context, SerializerError> {
            Ok(Context::from_json(context.as_json().replace("\"u\"", "\"user\""))?)
        }
    }

    fn listen(
        transport: &Transport,
        serializer: Option<Wrap>,
    ) -> (Listener, mpsc::Receiver<Notification>) {
        let (sender, receiver) = mpsc::channel();
        let endpoint = endpoint_fn([Priority::Info], move |notification| {
            Ok(sender.send(notification.clone())?)
        });
        let mut builder = Listener::builder(transport).target(Target::new("t")).endpoint(endpoint);
        if let Some(serializer) = serializer {
            builder = builder.serializer(serializer);
        }
        let listener = builder.start().unwrap();
        listener.ready(LIMIT).unwrap();
        (listener, receiver)
    }

    fn notifier(transport: &Transport, serializer: impl Serializer) -> Notifier {
        let builder = Notifier::builder(transport).driver("messagingv2").topic("t");
        builder.serializer(serializer).build().unwrap()
    }

    fn context() -> Context {
        Context::from_json(r#"{"user": "ann"}"#).unwrap()
    }

    #[test]
    fn what_a_serializer_makes_travels_and_is_turned_back() {
        let transport = Transport::for_notifications("fake:").unwrap();
        let (raw_listener, raw) = listen(&transport, None);
        notifier(&transport, Wrap)
            .info(&context(), "e", Payload::from(serde_json::json!("x")))
            .wait(LIMIT)
            .unwrap();
        let travelled = raw.recv_timeout(LIMIT).unwrap();
        assert_eq!(travelled.payload.as_json(), r#"{"ann": "x"}"#);
        assert_eq!(travelled.context.as_json(), r#"{"u": "ann"}"#);
        raw_listener.close(LIMIT).unwrap();

        let (listener, received) = listen(&transport, Some(Wrap));
        notifier(&transport, Wrap)
            .info(&context(), "e", Payload::from(serde_json::json!("x")))
            .wait(LIMIT)
            .unwrap();
        let got = received.recv_timeout(LIMIT).unwrap();
        assert_eq!(got.payload.as_json(), "\"x\"");
        assert_eq!(got.context, context());
        listener.close(LIMIT).unwrap();
    }

    #[test]
    fn what_a_serializer_refuses_is_not_sent_and_the_receipt_says_so() {
        let transport = Transport::for_notifications("fake:").unwrap();
        let receipt = notifier(&transport, Wrap).info(
            &Context::empty(),
            "e",
            Payload::from(serde_json::json!("refuse")),
        );
        let Err(Error::Undelivered(failures)) = receipt.wait(LIMIT) else { panic!("was sent") };
        let [failure] = &failures[..] else { panic!("{failures:?}") };
        assert_eq!((failure.outcome, failure.cause), (Outcome::NotDelivered, Cause::Encoding));
        assert!(failure.detail.contains("will not"), "{}", failure.detail);
        assert_eq!(transport.stats().not_delivered.get(), 1);
    }

    #[test]
    fn what_cannot_be_turned_back_is_skipped_and_counted() {
        let transport = Transport::for_notifications("fake:").unwrap();
        let (listener, received) = listen(&transport, Some(Wrap));
        let plain = notifier(&transport, NoOpSerializer);
        for payload in [r#"{"other": "x"}"#, r#"{"ann": "panic"}"#, r#"{"ann": "last"}"#] {
            let payload = Payload::from_json(payload).unwrap();
            plain.info(&context(), "e", payload).wait(LIMIT).unwrap();
        }
        assert_eq!(received.recv_timeout(LIMIT).unwrap().payload.as_json(), "\"last\"");
        assert_eq!(transport.stats().undecodable.get(), 2);
        listener.close(LIMIT).unwrap();
    }
}
