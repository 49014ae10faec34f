//! Python objects as JSON, where that is plain: what `json.dumps` writes, byte for byte.

use oslo_messaging::wire;
use pyo3::{
    Bound, PyAny, PyResult, pyfunction,
    types::{
        PyAnyMethods, PyBool, PyBoolMethods, PyDict, PyFloat, PyInt, PyList, PyListMethods,
        PyString, PyStringMethods, PyTuple, PyTupleMethods,
    },
};

/// Deeper ones are left to Python, which knows how deep is too deep.
const LEVELS: u32 = 100;
const CONTEXT: &str = "_context";

/// The inner object of a notification: `message` with `context` as its `_context`. `None` where
/// anything in it is not plain: subclasses, other objects, keys that are no strings, lone surrogates.
/// Python's own encoder then says what it is.
#[pyfunction]
pub(crate) fn encode(
    message: &Bound<'_, PyAny>,
    context: &Bound<'_, PyAny>,
) -> PyResult<Option<String>> {
    let Ok(message) = message.cast_exact::<PyDict>() else { return Ok(None) };
    let mut out = String::with_capacity(4096);
    out.push('{');
    for (key, value) in message {
        if let Ok(key) = key.cast_exact::<PyString>()
            && key.to_str().is_ok_and(|key| key != CONTEXT)
        {
            if !(string(key, &mut out) && colon_and(&value, &mut out, LEVELS)?) {
                return Ok(None);
            }
            out.push_str(", ");
        } else {
            return Ok(None);
        }
    }
    wire::write_string(CONTEXT, &mut out);
    if !colon_and(context, &mut out, LEVELS)? {
        return Ok(None);
    }
    out.push('}');
    Ok(Some(out))
}

fn colon_and(value: &Bound<'_, PyAny>, out: &mut String, levels: u32) -> PyResult<bool> {
    out.push_str(": ");
    write(value, out, levels)
}

/// Appends a value; `false`: it is not plain.
fn write(value: &Bound<'_, PyAny>, out: &mut String, levels: u32) -> PyResult<bool> {
    let Some(levels) = levels.checked_sub(1) else { return Ok(false) };
    if let Ok(text) = value.cast_exact::<PyString>() {
        return Ok(string(text, out));
    }
    if value.is_none() {
        out.push_str("null");
        return Ok(true);
    }
    if let Ok(truth) = value.cast_exact::<PyBool>() {
        out.push_str(if truth.is_true() { "true" } else { "false" });
        return Ok(true);
    }
    if let Ok(dict) = value.cast_exact::<PyDict>() {
        out.push('{');
        let mut is_first = true;
        for (key, value) in dict {
            if !std::mem::take(&mut is_first) {
                out.push_str(", ");
            }
            let Ok(key) = key.cast_exact::<PyString>() else { return Ok(false) };
            if !(string(key, out) && colon_and(&value, out, levels)?) {
                return Ok(false);
            }
        }
        out.push('}');
        return Ok(true);
    }
    if let Ok(list) = value.cast_exact::<PyList>() {
        return items(list.iter(), out, levels);
    }
    if value.cast_exact::<PyInt>().is_ok() {
        // Python refuses numbers of more than 4,300 digits: then the encoder says so.
        let Ok(text) = value.str() else { return Ok(false) };
        out.push_str(text.to_str()?);
        return Ok(true);
    }
    if let Ok(number) = value.cast_exact::<PyFloat>() {
        return Ok(number.extract::<f64>()?.is_finite() && {
            out.push_str(value.repr()?.to_str()?);
            true
        });
    }
    match value.cast_exact::<PyTuple>() {
        Ok(tuple) => items(tuple.iter(), out, levels),
        Err(_) => Ok(false),
    }
}

fn items<'py>(
    values: impl Iterator<Item = Bound<'py, PyAny>>,
    out: &mut String,
    levels: u32,
) -> PyResult<bool> {
    out.push('[');
    for (index, value) in values.enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        if !write(&value, out, levels)? {
            return Ok(false);
        }
    }
    out.push(']');
    Ok(true)
}

fn string(text: &Bound<'_, PyString>, out: &mut String) -> bool {
    let Ok(text) = text.to_str() else { return false };
    wire::write_string(text, out);
    true
}
