//! What travels: requests, answers and notifications as bodies, and the properties beside them.
//!
//! Pure functions. The forms are those of `oslo_messaging/_drivers/amqp.py` and `amqpdriver.py`.

use std::{
    io::{Read, Write},
    time::Duration,
};

use bytes::Bytes;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};
use uuid::Uuid;

use super::config::Compression;
use crate::{
    driver::RpcOutgoing,
    message::{
        Context, Payload,
        json::{Entries, MAX_DEPTH, check, string_value, write_string},
    },
    rpc::{RemoteError, RpcRequest},
    wire::{self, DecodeError},
};

/// Where the packing of a body is named.
const COMPRESSION: &str = "compression";
const GZIP: &str = "application/x-gzip";
const BZIP2: [&str; 2] = ["application/x-bz2", "application/x-bzip2"];
/// A body that unpacks to more than this is refused, in bytes.
const MAX_UNPACKED: u64 = 512 << 20;
const UNIQUE_ID: &str = "_unique_id";
/// What an enveloped body begins with.
const ENVELOPE: &[u8] = b"{\"oslo.version\"";

/// A new id of 32 hexadecimal digits.
pub(super) fn new_id() -> String {
    Uuid::new_v4().simple().to_string()
}

/// A request's body. `reply`: the call's id and the queue for its answer.
pub(super) fn request_body(outgoing: &RpcOutgoing, reply: Option<(&str, &str)>) -> Bytes {
    let RpcRequest { method, args, namespace, version, context } = &outgoing.request;
    let mut out = String::with_capacity(256 + args.as_json().len() + context.as_json().len());
    let mut string = |name: &str, value: &str| {
        out.push_str(if out.is_empty() { "{\"" } else { ", \"" });
        out.push_str(name);
        out.push_str("\": ");
        write_string(value, &mut out);
    };
    string("method", method);
    if let Some(namespace) = namespace {
        string("namespace", namespace);
    }
    if let Some(version) = version {
        string("version", version);
    }
    string(UNIQUE_ID, &new_id());
    if let Some((id, queue)) = reply {
        string("_msg_id", id);
        string("_reply_q", queue);
        out.push_str(", \"_timeout\": ");
        match outgoing.monitor {
            Some(monitor) => out.push_str(&monitor.as_secs().to_string()),
            None => out.push_str("null"),
        }
    }
    out.push_str(", \"args\": ");
    out.push_str(args.as_json());
    let text = context.as_json();
    for entry in Entries::new(text).map_while(Result::ok) {
        out.push_str(", \"_context_");
        out.push_str(&entry.key[1..]);
        out.push_str(": ");
        out.push_str(&text[entry.start..entry.end]);
    }
    out.push('}');
    wire::envelope(&out)
}

/// An answer's body: a result, a failure, or with neither a sign of life.
pub(super) fn reply_body(id: &str, answer: Option<Result<&Payload, &RemoteError>>) -> Bytes {
    let mut out = String::from("{\"result\": ");
    out.push_str(match answer {
        Some(Ok(result)) => result.as_json(),
        _ => "null",
    });
    out.push_str(", \"failure\": ");
    match answer {
        Some(Err(error)) => write_string(&error.to_json(), &mut out),
        _ => out.push_str("null"),
    }
    out.push_str(if answer.is_some() { ", \"ending\": true" } else { ", \"ending\": false" });
    for (name, value) in [("_msg_id", id), (UNIQUE_ID, &new_id())] {
        out.push_str(", \"");
        out.push_str(name);
        out.push_str("\": ");
        write_string(value, &mut out);
    }
    out.push('}');
    wire::envelope(&out)
}

/// A notification's body with an id by which listeners know it again.
pub(super) fn notification_body(body: &Bytes) -> Bytes {
    let (end, quote): (&[u8], _) =
        if body.starts_with(ENVELOPE) { (b"}\"}", "\\\"") } else { (b"}", "\"") };
    let at = body.len().saturating_sub(end.len());
    if !body.ends_with(end) || body[..at].ends_with(b"{") {
        return body.clone();
    }
    let mut out = Vec::with_capacity(body.len() + 64);
    out.extend_from_slice(&body[..at]);
    let id = new_id();
    out.extend_from_slice(format!(", {quote}{UNIQUE_ID}{quote}: {quote}{id}{quote}").as_bytes());
    out.extend_from_slice(end);
    Bytes::from(out)
}

/// A request that came.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) request: RpcRequest,
    /// Id of the call and queue for its answer; `None` for a cast.
    pub(super) reply: Option<(String, String)>,
    pub(super) monitor: Option<Duration>,
    pub(super) unique_id: Option<String>,
}

/// Reads a request. `Err` has words for the log.
pub(super) fn read_request(body: &[u8]) -> Result<Request, String> {
    let text = inner(body)?;
    let mut request = RpcRequest::new("", Payload::empty());
    let (mut id, mut queue, mut unique_id, mut monitor) = (None, None, None, None);
    let mut has_method = false;
    let mut context = String::from("{");
    let mut client_timeout = "null";
    for entry in Entries::new(&text).map_while(Result::ok) {
        let value = &text[entry.start..entry.end];
        let key = string_value(entry.key);
        match &*key {
            "method" => {
                request.method = string("method", value)?.ok_or("without a method")?;
                has_method = true;
            }
            "args" if value.starts_with('{') => request.args = Payload::of_json(value.to_owned()),
            "args" => return Err("whose args are no object".to_owned()),
            "namespace" => request.namespace = string("namespace", value)?,
            "version" => request.version = string("version", value)?,
            "_msg_id" => id = string("_msg_id", value)?,
            "_reply_q" => queue = string("_reply_q", value)?,
            UNIQUE_ID => unique_id = string(UNIQUE_ID, value)?,
            "_timeout" => {
                client_timeout = value;
                monitor = value
                    .parse::<f64>()
                    .ok()
                    .filter(|seconds| (0.0..1e9).contains(seconds))
                    .map(Duration::from_secs_f64);
            }
            _ => {
                if let Some(name) = key.strip_prefix("_context_") {
                    context.push_str(if context.len() == 1 { "" } else { ", " });
                    write_string(name, &mut context);
                    context.push_str(": ");
                    context.push_str(value);
                }
            }
        }
    }
    if !has_method {
        return Err("without a method".to_owned());
    }
    // As the reference's endpoints see it.
    context.push_str(if context.len() == 1 { "" } else { ", " });
    context.push_str("\"client_timeout\": ");
    context.push_str(client_timeout);
    context.push('}');
    request.context = Context::of_object(context);
    Ok(Request { request, reply: id.zip(queue), monitor, unique_id })
}

/// An answer that came.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) id: String,
    pub(super) result: Payload,
    pub(super) failure: Option<String>,
    /// Whether it is the last one; the reference's old peers sent the result before it.
    pub(super) is_ending: bool,
}

/// Reads an answer. `Err` has words for the log.
pub(super) fn read_reply(body: &[u8]) -> Result<Reply, String> {
    let text = inner(body)?;
    let mut id = None;
    let mut reply =
        Reply { id: String::new(), result: Payload::null(), failure: None, is_ending: false };
    for entry in Entries::new(&text).map_while(Result::ok) {
        let value = &text[entry.start..entry.end];
        match &*string_value(entry.key) {
            "_msg_id" => id = string("_msg_id", value)?,
            "result" => reply.result = Payload::of_json(value.to_owned()),
            // Python asks only whether it is something.
            "failure" if !matches!(value, "null" | "false" | "\"\"" | "0") => {
                reply.failure = Some(if value.starts_with('"') {
                    string_value(value).into_owned()
                } else {
                    value.to_owned()
                });
            }
            "ending" => reply.is_ending = value == "true",
            _ => {}
        }
    }
    reply.id = id.ok_or("without a _msg_id")?;
    Ok(reply)
}

/// The id by which a notification is known again.
pub(super) fn unique_id(body: &[u8]) -> Option<String> {
    let text = inner(body).ok()?;
    let found = Entries::new(&text).map_while(Result::ok).filter(|entry| {
        // Most keys are not even looked at.
        entry.key.len() == UNIQUE_ID.len() + 2 && string_value(entry.key) == UNIQUE_ID
    });
    let found = found.last()?;
    string(UNIQUE_ID, &text[found.start..found.end]).ok()?
}

/// The text of the object that a body holds, enveloped or not; it is JSON.
fn inner(body: &[u8]) -> Result<String, String> {
    let words = |error: DecodeError| format!("that cannot be read: {error}");
    let text = wire::open(body).map_err(words)?;
    check(&text, MAX_DEPTH, &mut ())
        .map_err(|fault| format!("that is no JSON: byte {}: {}", fault.at, fault.reason()))?;
    if !text.trim_start().starts_with('{') {
        return Err("that holds no object".to_owned());
    }
    Ok(text)
}

fn string(name: &str, value: &str) -> Result<Option<String>, String> {
    match value.as_bytes().first() {
        Some(b'"') => Ok(Some(string_value(value).into_owned())),
        Some(b'n') => Ok(None),
        _ => Err(format!("whose {name} is no string")),
    }
}

/// The properties of a message, and its body, packed if asked.
pub(super) fn packed(
    body: Bytes,
    compression: Option<Compression>,
    expires: Option<Duration>,
) -> (BasicProperties, Bytes) {
    let mut headers = FieldTable::default();
    let body = match compression.and_then(|how| pack(&body, how)) {
        Some((name, packed)) => {
            headers.insert(COMPRESSION.into(), AMQPValue::LongString(name.into()));
            packed
        }
        None => body,
    };
    let mut properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_delivery_mode(2)
        .with_priority(0)
        .with_headers(headers);
    if let Some(expires) = expires {
        properties = properties.with_expiration(expires.as_millis().to_string().into());
    }
    (properties, body)
}

fn pack(body: &[u8], how: Compression) -> Option<(&'static str, Bytes)> {
    // Writing to memory does not fail; a body that was not packed is as good.
    let (name, packed) = match how {
        Compression::Gzip => {
            let mut gzip = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(6));
            gzip.write_all(body).ok()?;
            (GZIP, gzip.finish().ok()?)
        }
        Compression::Bzip2 => {
            let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
            bzip2.write_all(body).ok()?;
            (BZIP2[0], bzip2.finish().ok()?)
        }
    };
    Some((name, Bytes::from(packed)))
}

/// The body as it was before it was packed. `Err` has words for the log.
pub(super) fn unpacked(properties: &BasicProperties, body: Vec<u8>) -> Result<Vec<u8>, String> {
    let header = properties.headers().as_ref().and_then(|table| {
        let value = table.inner().get(&ShortString::from(COMPRESSION))?;
        match value {
            AMQPValue::LongString(text) => Some(text.to_string()),
            AMQPValue::ShortString(text) => Some(text.to_string()),
            _ => None,
        }
    });
    let Some(name) = header else { return Ok(body) };
    let mut out = Vec::new();
    let read = if name == GZIP {
        flate2::read::ZlibDecoder::new(&*body).take(MAX_UNPACKED + 1).read_to_end(&mut out)
    } else if BZIP2.contains(&&*name) {
        bzip2::read::BzDecoder::new(&*body).take(MAX_UNPACKED + 1).read_to_end(&mut out)
    } else {
        return Err(format!("packed as {name}; known are {GZIP} and {}", BZIP2[0]));
    };
    match read {
        Ok(_) if out.len() as u64 > MAX_UNPACKED => {
            Err(format!("that unpacks to more than {MAX_UNPACKED} bytes"))
        }
        Ok(_) => Ok(out),
        Err(error) => Err(format!("that does not unpack as {name}: {error}")),
    }
}

/// Reads a body in every way, as the fuzz target `rpc` has it: nothing panics, and what was read is
/// the same once it was written and read again.
#[cfg(feature = "fuzzing")]
pub fn fuzz_messages(body: &[u8]) {
    use std::sync::Arc;

    use crate::driver::{Destination, Retry, Target};

    let packed = |name: &'static str| {
        let mut headers = FieldTable::default();
        headers.insert(COMPRESSION.into(), AMQPValue::LongString(name.into()));
        unpacked(&BasicProperties::default().with_headers(headers), body.to_vec())
    };
    // Bodies that unpack to a great size take their time, and show nothing new.
    if body.len() < 256 {
        let _ = (packed(GZIP), packed(BZIP2[0]));
    }
    let _ = unique_id(body);
    if let Ok(Request { request, reply, monitor, .. }) = read_request(body) {
        let outgoing = RpcOutgoing {
            target: Arc::new(Target::new("topic")),
            destination: Destination::Topic,
            request: request.clone(),
            timeout: Duration::from_secs(1),
            monitor,
            retry: Retry::UntilTimeout,
            at_least_once: false,
        };
        let parts = reply.as_ref().map(|(id, queue)| (id.as_str(), queue.as_str()));
        let again =
            read_request(&request_body(&outgoing, parts)).expect("what was written is read");
        assert_eq!(again.request.method, request.method);
        assert_eq!(again.request.namespace, request.namespace);
        assert_eq!(again.request.version, request.version);
        assert_eq!(again.reply, reply);
    }
    if let Ok(reply) = read_reply(body) {
        let answer = match &reply.failure {
            Some(failure) => Err(RemoteError::from_json(failure)),
            None => Ok(reply.result.clone()),
        };
        let written = reply_body(&reply.id, Some(answer.as_ref()));
        let again = read_reply(&written).expect("what was written is read");
        assert_eq!(again.id, reply.id);
        assert!(again.is_ending);
        if let (Err(error), Some(failure)) = (answer, again.failure) {
            // Names that have travelled lose what marks that, once.
            let (again, first) = (RemoteError::from_json(&failure), error.to_json());
            assert_eq!(again.message, error.message);
            assert!(error.traceback.is_empty() || again.traceback == error.traceback);
            assert_eq!(RemoteError::from_json(&first).class, again.class);
        }
    }
    if let Ok(text) = std::str::from_utf8(body) {
        let error = RemoteError::from_json(text);
        assert!(!format!("{error}{error:?}").is_empty());
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use bytes::Bytes;
    use serde_json::json;

    use super::{
        Compression, notification_body, packed, read_reply, read_request, reply_body, request_body,
        unique_id, unpacked,
    };
    use crate::{
        driver::{Destination, Retry, RpcOutgoing, Target},
        message::{Context, Payload},
        rpc::{RemoteError, RpcRequest},
        wire,
    };

    fn outgoing() -> RpcOutgoing {
        let mut request = RpcRequest::new("echo", json!({"value": {"k": "ü"}}));
        request.context = Context::from_json(r#"{"user": "u", "roles": ["a"]}"#).unwrap();
        RpcOutgoing {
            target: Arc::new(Target::new("topic")),
            destination: Destination::Topic,
            request,
            timeout: Duration::from_secs(1),
            monitor: Some(Duration::from_secs(4)),
            retry: Retry::UntilTimeout,
            at_least_once: false,
        }
    }

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let body = request_body(&outgoing(), Some(("id", "reply_q")));
        assert!(body.is_ascii());
        let read = read_request(&body).unwrap();
        assert_eq!(read.request.method, "echo");
        assert_eq!(read.request.args.value().unwrap(), json!({"value": {"k": "ü"}}));
        assert_eq!(read.reply, Some(("id".to_owned(), "reply_q".to_owned())));
        assert_eq!(read.monitor, Some(Duration::from_secs(4)));
        assert_eq!(read.unique_id.map(|id| id.len()), Some(32));
        let context = read.request.context.value().unwrap();
        assert_eq!(context, json!({"user": "u", "roles": ["a"], "client_timeout": 4}));
        let cast = read_request(&request_body(&outgoing(), None)).unwrap();
        assert_eq!((cast.reply, cast.monitor), (None, None));
    }

    #[test]
    fn an_answer_is_a_result_a_failure_or_a_sign_of_life() {
        let result = Payload::from_json(r#"{"a": NaN}"#).unwrap();
        let read = read_reply(&reply_body("id", Some(Ok(&result)))).unwrap();
        assert_eq!((&*read.id, read.result, read.is_ending), ("id", result, true));
        let error = RemoteError::new("ValueError", "no");
        let read = read_reply(&reply_body("id", Some(Err(&error)))).unwrap();
        assert_eq!(&*RemoteError::from_json(&read.failure.unwrap()).class, "ValueError");
        let read = read_reply(&reply_body("id", None)).unwrap();
        assert!(!read.is_ending && read.failure.is_none() && read.result == Payload::null());
    }

    #[test]
    fn a_notification_gets_an_id_and_stays_what_it_was() {
        for inner in [r#"{"a": 1}"#, r#"{"a": "}"}"#] {
            for body in [wire::envelope(inner), Bytes::copy_from_slice(inner.as_bytes())] {
                let marked = notification_body(&body);
                let id = unique_id(&marked).unwrap();
                let text = String::from_utf8(marked.to_vec()).unwrap();
                let at = text.find("_unique_id").unwrap();
                assert!(text[at..].contains(&id), "{text}");
                assert_eq!(unique_id(&body), None);
            }
        }
        for body in ["{}", "", "nonsense"] {
            assert_eq!(notification_body(&Bytes::from_static(body.as_bytes())), body);
        }
    }

    #[test]
    fn bodies_are_packed_and_unpacked() {
        let body = Bytes::from("text ".repeat(1000));
        for how in [Compression::Gzip, Compression::Bzip2] {
            let (properties, packed) = packed(body.clone(), Some(how), None);
            assert!(packed.len() < body.len());
            assert_eq!(unpacked(&properties, packed.to_vec()).unwrap(), body);
            assert!(unpacked(&properties, b"nonsense".to_vec()).is_err());
        }
    }
}
