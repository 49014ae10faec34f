//! Errors that travel: what a method failed with, as the other side can read it.

use std::{any::Any, error::Error, fmt};

use super::RpcError;
use crate::message::{
    Payload,
    json::{Entries, write_string},
};

/// The module of Python's own exceptions, and its name in Python 2.
const BUILTINS: [&str; 2] = ["builtins", "exceptions"];
/// What the class and module of an error end with that has travelled before.
#[cfg(any(test, feature = "fake", feature = "rabbit", feature = "fuzzing"))]
const TRAVELLED: &str = "_Remote";

/// An error that a method returned: named as Python names exceptions, for both sides may be Python.
///
/// ```
/// use oslo_messaging::rpc::RemoteError;
/// let error = RemoteError::new("InstanceNotFound", "instance i-1 could not be found")
///     .with_module("nova.exception");
/// assert_eq!(error.to_string(), "nova.exception.InstanceNotFound: instance i-1 could not be found");
/// ```
///
/// Any error of Rust becomes one of class `Exception` by `?`, and one that itself came from a remote
/// call goes on as what it was. Mirrors `serialize_remote_exception` and
/// `deserialize_remote_exception` of `oslo_messaging/_drivers/common.py`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteError {
    /// The exception's class, such as `InstanceNotFound`.
    pub class: Box<str>,
    /// The Python module of the class, such as `nova.exception`; empty when the server named none.
    pub module: Box<str>,
    /// What it says.
    pub message: Box<str>,
    /// The lines of the server's traceback, with their newlines. An error of Rust has none, and travels
    /// with one that has no frames.
    pub traceback: Box<[String]>,
    /// The positional arguments that the exception was made of: a list.
    pub args: Payload,
    /// The named arguments: an object.
    pub kwargs: Payload,
    /// Whether the module is on the client's list; see [`is`](Self::is).
    is_allowed: bool,
}

impl RemoteError {
    /// An error of Python's own classes, such as `ValueError`.
    pub fn new(class: impl Into<String>, message: impl Into<String>) -> Self {
        let message = message.into();
        let mut args = String::from("[");
        write_string(&message, &mut args);
        args.push(']');
        Self {
            class: class.into().into(),
            module: BUILTINS[0].into(),
            message: message.into(),
            traceback: Box::default(),
            args: Payload::of_json(args),
            kwargs: Payload::of_json("{}".to_owned()),
            is_allowed: true,
        }
    }

    /// The same of another module, such as `nova.exception`.
    #[must_use]
    pub fn with_module(mut self, module: impl Into<String>) -> Self {
        self.module = module.into().into();
        self
    }

    /// The same with the arguments that a Python client makes the exception of: a list, and an object.
    #[must_use]
    pub fn with_args(mut self, args: impl Into<Payload>, kwargs: impl Into<Payload>) -> Self {
        self.args = args.into();
        self.kwargs = kwargs.into();
        self
    }

    /// Whether this is that class of that module, and the module is one that the client allows
    /// ([`allow_modules`](super::RpcClientBuilder::allow_modules)). What another module's class means
    /// is not to be trusted: its name may be anything.
    #[must_use]
    pub fn is(&self, module: &str, class: &str) -> bool {
        self.is_allowed && *self.module == *module && *self.class == *class
    }

    /// Whether the module is on the client's list; Python's own classes always are.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.is_allowed
    }

    /// Marks what the client may rely on.
    pub(super) fn judged_by(mut self, allowed: &[String]) -> Self {
        self.is_allowed = BUILTINS.contains(&&*self.module)
            || allowed.iter().any(|module| **module == *self.module);
        self
    }

    /// As it travels: the text of a JSON object.
    #[cfg(any(test, feature = "fake", feature = "rabbit", feature = "fuzzing"))]
    pub(crate) fn to_json(&self) -> String {
        let mut out = String::with_capacity(256 + self.message.len());
        let name = |name: &str| name.strip_suffix(TRAVELLED).unwrap_or(name).to_owned();
        out.push_str("{\"class\": ");
        write_string(&name(&self.class), &mut out);
        out.push_str(", \"module\": ");
        write_string(&name(&self.module), &mut out);
        out.push_str(", \"message\": ");
        write_string(&self.message, &mut out);
        out.push_str(", \"tb\": [");
        // Python's clients put this behind the message, and know by it that the error has travelled.
        let without_frames =
            ["Traceback (most recent call last):\n".to_owned(), format!("{self}\n")];
        let lines = if self.traceback.is_empty() { &without_frames[..] } else { &self.traceback };
        for (index, line) in lines.iter().enumerate() {
            out.push_str(if index == 0 { "" } else { ", " });
            write_string(line, &mut out);
        }
        out.push_str("], \"args\": ");
        out.push_str(self.args.as_json());
        out.push_str(", \"kwargs\": ");
        out.push_str(self.kwargs.as_json());
        out.push('}');
        out
    }

    /// Reads what travelled. Lenient as the reference: what is missing is empty. What is no such
    /// object at all is the message of an error without a class.
    pub(crate) fn from_json(text: &str) -> Self {
        let mut error = Self::new("", "");
        error.module = Box::default();
        let Ok(whole) = Payload::from_json(text) else {
            error.message = text.into();
            return error;
        };
        if !whole.as_json().trim_start().starts_with('{') {
            error.message = text.into();
            return error;
        }
        let string = |key| whole.string_at(key).map(Box::from).unwrap_or_default();
        error.class = string("class");
        error.module = string("module");
        error.message = string("message");
        for entry in Entries::new(whole.as_json()).map_while(Result::ok) {
            let value = &whole.as_json()[entry.start..entry.end];
            let Ok(value) = Payload::from_json(value) else { continue };
            match (entry.key, value.as_json().as_bytes().first()) {
                ("\"tb\"", Some(b'[')) => error.traceback = value.deserialize().unwrap_or_default(),
                ("\"args\"", Some(b'[')) => error.args = value,
                ("\"kwargs\"", Some(b'{')) => error.kwargs = value,
                _ => {}
            }
        }
        error
    }
}

impl fmt::Display for RemoteError {
    /// Without the traceback.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.module.is_empty() && !BUILTINS.contains(&&*self.module) {
            write!(f, "{}.", self.module)?;
        }
        match (&*self.class, &*self.message) {
            ("", message) => f.write_str(message),
            (class, "") => f.write_str(class),
            (class, message) => write!(f, "{class}: {message}"),
        }
    }
}

impl<E: Error + 'static> From<E> for RemoteError {
    fn from(error: E) -> Self {
        let known: &dyn Any = &error;
        if let Some(RpcError::Remote(remote)) = known.downcast_ref() {
            return (**remote).clone();
        }
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::new("Exception", message)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::RemoteError;
    use crate::{message::Payload, rpc::RpcError};

    #[test]
    fn an_error_of_python_is_read_and_written_as_it_was() {
        let text = r#"{"class": "Bad", "module": "nova.exception", "message": "caf\u00e9", "tb": ["a\n", "b\n"], "args": [1, NaN], "kwargs": {"code": 3}}"#;
        let read = RemoteError::from_json(text);
        assert_eq!(&*read.class, "Bad");
        assert_eq!(&*read.message, "café");
        assert_eq!(*read.traceback, ["a\n", "b\n"]);
        assert_eq!(read.to_json(), text);
    }

    #[test]
    fn what_is_no_error_is_the_message_of_one() {
        for text in ["", "nonsense", "[1]", "null", "\"text\""] {
            let read = RemoteError::from_json(text);
            assert_eq!((&*read.class, &*read.message), ("", text));
        }
        let read = RemoteError::from_json(r#"{"class": 7, "tb": [1], "args": {}, "kwargs": []}"#);
        assert_eq!(&*read.class, "");
        assert_eq!((read.args.as_json(), read.kwargs.as_json()), ("[\"\"]", "{}"));
    }

    #[test]
    fn only_allowed_modules_are_relied_on() {
        let error = RemoteError::new("E", "m").with_module("nova.exception");
        assert!(!error.clone().judged_by(&[]).is("nova.exception", "E"));
        assert!(error.judged_by(&["nova.exception".to_owned()]).is("nova.exception", "E"));
        assert!(RemoteError::new("KeyError", "k").judged_by(&[]).is("builtins", "KeyError"));
    }

    #[test]
    fn an_error_that_travelled_goes_on_as_what_it_was() {
        let was = RemoteError::new("Bad", "no").with_module("nova.exception");
        let passed: RemoteError = RpcError::Remote(Box::new(was.clone())).into();
        assert_eq!(passed, was);
        let named = RemoteError::new("Bad_Remote", "no").with_module("nova.exception_Remote");
        assert!(named.to_json().starts_with(r#"{"class": "Bad", "module": "nova.exception","#));
    }

    #[test]
    fn an_error_of_rust_is_an_exception_with_its_causes() {
        let error: RemoteError = "x".parse::<u8>().unwrap_err().into();
        assert_eq!(error.to_string(), "Exception: invalid digit found in string");
        assert_eq!(error.args, Payload::from(json!(["invalid digit found in string"])));
    }
}
