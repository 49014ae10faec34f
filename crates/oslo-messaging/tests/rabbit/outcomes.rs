//! Calls, and what the Python library makes of them with itself: the yardstick for every pair of client and server.
//!
//! Values are the JSON texts that Python writes, with keys in order: not all of them are JSON.

use serde_json::{Value, json};

/// A call of a method of `interop/reference_rpc_server.py`, and what comes of it.
pub(crate) struct Outcome {
    pub(crate) method: &'static str,
    /// A JSON text; see [`Outcome::args`].
    args: &'static str,
    pub(crate) context: &'static str,
    pub(crate) namespace: Option<&'static str>,
    pub(crate) version: Option<&'static str>,
    pub(crate) version_cap: Option<&'static str>,
    pub(crate) ends: Ends,
}

/// How a call ends.
pub(crate) enum Ends {
    /// With this JSON text.
    Result(&'static str),
    /// With an error of the server, which the client rebuilds: class, module, message, arguments.
    Rebuilt(&'static str, &'static str, &'static str, &'static str),
    /// With an error of the server, which it does not: class and message.
    Remote(&'static str, &'static str),
    /// With an error of the client, before anything is sent.
    VersionCap,
}

use Ends::{Rebuilt, Remote, Result, VersionCap};

/// Stands for a text of 1 MiB in [`Outcome::args`].
const MEBIBYTE: &str = "MEBIBYTE";

const fn call(method: &'static str, args: &'static str, ends: Ends) -> Outcome {
    Outcome { method, args, context: "{}", namespace: None, version: None, version_cap: None, ends }
}

const fn at(namespace: Option<&'static str>, version: Option<&'static str>, ends: Ends) -> Outcome {
    Outcome { namespace, version, ..call("where", "{}", ends) }
}

const fn unusual(args: &'static str, text: &'static str) -> Outcome {
    call("unusual", args, Result(text))
}

const OWN: &str = "reference_rpc_errors_Remote";

/// What is asked, and what comes of it.
pub(crate) const CALLS: &[Outcome] = &[
    call(
        "echo",
        r#"{"value": {"k": "\u00fc", "a": [1, null, true, 0.5]}}"#,
        Result(r#"{"a": [1, null, true, 0.5], "k": "\u00fc"}"#),
    ),
    call("echo", r#"{"value": null}"#, Result("null")),
    call("echo", r#"{"value": ""}"#, Result(r#""""#)),
    call("echo", r#"{"value": NaN}"#, Result("NaN")),
    call(
        "echo",
        r#"{"value": [-Infinity, 1267650600228229401496703205376, -0.0, 5e-324, 1e+22]}"#,
        Result("[-Infinity, 1267650600228229401496703205376, -0.0, 5e-324, 1e+22]"),
    ),
    call(
        "echo",
        r#"{"value": {"": {"_context_user": 1, "result": 2}}}"#,
        Result(r#"{"": {"_context_user": 1, "result": 2}}"#),
    ),
    call(
        "echo",
        r#"{"value": "\ud83d \ud83d\ude00 \u0000\u2028"}"#,
        Result(r#""\ud83d \ud83d\ude00 \u0000\u2028""#),
    ),
    call("size", r#"{"value": "MEBIBYTE"}"#, Result("1048576")),
    call("add", r#"{"a": 1, "b": 2}"#, Result("3")),
    call("add", r#"{"a": 1}"#, Result("2")),
    call("add", r#"{"a": "x", "b": "\u00fc"}"#, Result(r#""x\u00fc""#)),
    call(
        "keywords",
        r#"{"request": 1, "args": 2, "\u00fc": 3}"#,
        Result(r#"{"args": 2, "request": 1, "\u00fc": 3}"#),
    ),
    Outcome {
        context: r#"{"user": "u", "roles": ["a"], "nothing": null, "deep": {"k": [1.5]}}"#,
        ..call(
            "context",
            "{}",
            Result(
                r#"{"client_timeout": null, "deep": {"k": [1.5]}, "nothing": null, "roles": ["a"], "user": "u"}"#,
            ),
        )
    },
    unusual(r#"{"name": "none"}"#, "null"),
    unusual(r#"{"name": "nan"}"#, "NaN"),
    unusual(r#"{"name": "infinity"}"#, "Infinity"),
    unusual(r#"{"name": "negative zero"}"#, "-0.0"),
    unusual(r#"{"name": "big integer"}"#, "1267650600228229401496703205376"),
    unusual(r#"{"name": "long float"}"#, "0.30000000000000004"),
    unusual(r#"{"name": "small float"}"#, "5e-324"),
    unusual(r#"{"name": "whole float"}"#, "1e+22"),
    unusual(r#"{"name": "empty"}"#, r#"{"": [], " ": {}}"#),
    unusual(r#"{"name": "controls"}"#, r#""\u0000\u001f\u007f\u2028\"\\/""#),
    unusual(r#"{"name": "beyond the plane"}"#, r#""\ud83d\ude00\u00fc""#),
    unusual(r#"{"name": "half of a pair"}"#, r#""\ud83d""#),
    unusual(r#"{"name": "number as key"}"#, r#"{"1": "true", "null": "none"}"#),
    unusual(r#"{"name": "nested"}"#, r#"[[[[[[[[[[{"deep": true}]]]]]]]]]]"#),
    unusual(r#"{"name": "tuple"}"#, "[1, 2]"),
    unusual(r#"{"name": "set"}"#, "[1]"),
    unusual(r#"{"name": "time"}"#, r#""2026-01-02T03:04:05.000678""#),
    unusual(r#"{"name": "uuid"}"#, r#""12345678-1234-5678-1234-567812345678""#),
    unusual(r#"{"name": "bytes"}"#, r#""bytes""#),
    at(None, None, Result(r#""none 1.5""#)),
    at(None, Some("1.5"), Result(r#""none 1.5""#)),
    at(
        None,
        Some("1.6"),
        Remote(
            "UnsupportedVersion",
            "Endpoint does not support RPC version 1.6. Attempted method: where",
        ),
    ),
    at(Some("ns"), None, Result(r#""ns 1.1""#)),
    at(Some("ns"), Some("2.0"), Result(r#""ns 2.3""#)),
    at(
        Some("ns"),
        Some("2.4"),
        Remote(
            "UnsupportedVersion",
            "Endpoint does not support RPC version 2.4. Attempted method: where",
        ),
    ),
    at(Some("new"), None, Result(r#""new 1.0""#)),
    at(Some("old"), None, Result(r#""new 1.0""#)),
    at(
        Some("nowhere"),
        None,
        Remote(
            "UnsupportedVersion",
            "Endpoint does not support RPC version 1.0. Attempted method: where",
        ),
    ),
    Outcome { version_cap: Some("1.4"), ..at(None, Some("1.5"), VersionCap) },
    Outcome { version_cap: Some("1.6"), ..at(None, Some("1.5"), Result(r#""none 1.5""#)) },
    call("nowhere", "{}", Remote("NoSuchMethod", "Endpoint does not support RPC method nowhere")),
    call("_private", "{}", Remote("NoSuchMethod", "Endpoint does not support RPC method _private")),
    call(
        "builtin",
        r#"{"message": "no \u00fc\ngood"}"#,
        Rebuilt("ValueError", "builtins", "no \u{fc}\ngood", r#"["no \u00fc\ngood"]"#),
    ),
    call("builtin", r#"{"message": ""}"#, Rebuilt("ValueError", "builtins", "", r#"[""]"#)),
    call(
        "builtin_with_arguments",
        "{}",
        Rebuilt(
            "KeyError",
            "builtins",
            "('key', 7, ['l'], {'k': None})",
            r#"["('key', 7, ['l'], {'k': None})", 7, ["l"], {"k": null}]"#,
        ),
    ),
    call(
        "own",
        r#"{"message": "no"}"#,
        Rebuilt("OwnError_Remote", OWN, "('no', 2)", r#"["no", 2]"#),
    ),
    call("expected", r#"{"message": "no"}"#, Rebuilt("OwnError_Remote", OWN, "no", r#"["no"]"#)),
    call("picky", r#"{"message": "no"}"#, Remote("PickyError", "no")),
    call("local", r#"{"message": "no"}"#, Remote("LocalError", "no")),
    call(
        "echo",
        r#"{"valu": 1}"#,
        Rebuilt(
            "TypeError",
            "builtins",
            "Plain.echo() got an unexpected keyword argument 'valu'",
            r#"["Plain.echo() got an unexpected keyword argument 'valu'"]"#,
        ),
    ),
];

impl Outcome {
    /// The arguments as a JSON text.
    pub(crate) fn args(&self) -> String {
        self.args.replace(MEBIBYTE, &"x".repeat(1 << 20))
    }

    /// Which call it is, in words.
    pub(crate) fn name(&self) -> String {
        let Self { method, args, namespace, version, .. } = self;
        format!("{method} {args} {} {}", namespace.unwrap_or("-"), version.unwrap_or("-"))
    }

    /// The request for `reference_rpc_client.py`.
    pub(crate) fn request(&self) -> Value {
        let mut request = json!({
            "how": "call", "method": self.method, "args": self.args(), "context": self.context, "timeout": 30,
        });
        let optional = [
            ("namespace", self.namespace),
            ("version", self.version),
            ("version_cap", self.version_cap),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                request[name] = value.into();
            }
        }
        request
    }

    /// Its answer.
    pub(crate) fn expected(&self) -> Value {
        match self.ends {
            Result(text) => json!({"result": text}),
            Rebuilt(class, module, message, args) => json!({"error": {
                "kind": "rebuilt", "class": class, "module": module, "message": message, "args": args,
            }}),
            Remote(class, message) => {
                json!({"error": {"kind": "remote", "class": class, "message": message}})
            }
            VersionCap => {
                let (version, cap) = (self.version.unwrap(), self.version_cap.unwrap());
                let message = format!(
                    "Requested message version, {version} is incompatible.  It needs to be equal in major \
                     version and less than or equal in minor version as the specified version cap {cap}."
                );
                json!({"error": {
                    "kind": "local", "class": "RPCVersionCapError", "module": "oslo_messaging.rpc.client",
                    "message": message, "args": json!([message]).to_string(),
                }})
            }
        }
    }

    /// The method of the server that runs, if one does.
    pub(crate) fn runs(&self) -> Option<&'static str> {
        let unknown = ["NoSuchMethod", "UnsupportedVersion"];
        match self.ends {
            VersionCap => None,
            Remote(class, _) if unknown.contains(&class) => None,
            // It ends in the call of the method.
            Rebuilt("TypeError", ..) => None,
            _ => Some(self.method),
        }
    }
}
