//! The table of options, for the option objects that Python makes of it.

use oslo_messaging::config::{self, DefaultValue, Kind, Opt};
use pyo3::{
    Bound, IntoPyObjectExt, PyAny, PyResult, Python, pyfunction,
    types::{PyAnyMethods, PyDict},
};

/// The options of a group that the reference does not have.
#[pyfunction]
pub(crate) fn options<'py>(py: Python<'py>, group: &str) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let ours = config::table().iter().filter(|opt| opt.group == group && opt.ours);
    ours.map(|opt| described(py, opt)).collect()
}

fn described<'py>(py: Python<'py>, opt: &Opt) -> PyResult<Bound<'py, PyDict>> {
    let described = PyDict::new(py);
    let default = match opt.default {
        DefaultValue::Text(text) => Some(text),
        _ => None,
    };
    described.set_item("name", opt.name)?;
    described.set_item("default", default)?;
    described.set_item("secret", opt.secret)?;
    described.set_item("help", opt.help)?;
    let limits = |name, min: Bound<'py, PyAny>, max: Bound<'py, PyAny>| -> PyResult<()> {
        described.set_item("kind", name)?;
        described.set_item("min", min)?;
        described.set_item("max", max)
    };
    let whole = |number: i64| number.into_bound_py_any(py);
    let real = |number: f64| number.into_bound_py_any(py);
    match opt.kind {
        Kind::Choice(choices) => {
            described.set_item("kind", "string")?;
            described.set_item("choices", choices)?;
        }
        Kind::Integer { min, max } => limits("integer", whole(min)?, whole(max)?)?,
        Kind::IntegerOrMinusOne { max, .. } => limits("integer", whole(-1)?, whole(max)?)?,
        Kind::Float { min, max } | Kind::Seconds { min, max } => {
            limits("float", real(min)?, real(max)?)?;
        }
        Kind::Boolean => described.set_item("kind", "boolean")?,
        Kind::List => described.set_item("kind", "list")?,
        Kind::Dict => described.set_item("kind", "dict")?,
        // The library checks what a text must begin with.
        _ => described.set_item("kind", "string")?,
    }
    Ok(described)
}
