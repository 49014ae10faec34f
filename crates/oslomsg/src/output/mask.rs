//! `--mask`: values that are replaced by `***`, wherever a notification is shown.

use std::ops::Range;

use oslo_messaging::{Context, Notification, Payload};

use crate::json::parts;

/// What stands in the place of a masked value.
pub(super) const MASK: &str = "***";
const MASKED_JSON: &str = "\"***\"";

/// A notification whose values at `paths` are masked. Cheap when there are none.
pub(super) fn masked(notification: &Notification, paths: &[String]) -> Notification {
    let mut masked = notification.clone();
    if let Some(text) = replaced(notification.payload.as_json(), "payload", paths) {
        // Both texts stay valid: a value was replaced by a value.
        masked.payload = Payload::from_json(text).unwrap_or_else(|_| Payload::null());
    }
    if let Some(text) = replaced(notification.context.as_json(), "context", paths) {
        masked.context = Context::from_json(text).unwrap_or_default();
    }
    masked
}

/// The text with the values at those of `paths` that start with `root` masked, if there are any.
fn replaced(text: &str, root: &str, paths: &[String]) -> Option<String> {
    let mut found = Vec::new();
    for path in paths {
        match path.strip_prefix(root) {
            Some("") if root == "context" => find(text, 0..text.len(), "*", &mut found),
            Some("") => found.push(0..text.len()),
            Some(rest) => {
                if let Some(rest) = rest.strip_prefix('.') {
                    find(text, 0..text.len(), rest, &mut found);
                }
            }
            None => {}
        }
    }
    if found.is_empty() {
        return None;
    }
    found.sort_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for range in found {
        // A value inside one that is masked already.
        if range.start >= done {
            out.push_str(&text[done..range.start]);
            out.push_str(MASKED_JSON);
            done = range.end;
        }
    }
    out.push_str(&text[done..]);
    Some(out)
}

/// Collects the places of the values that `path` names within the value at `range`.
///
/// Keys may have dots themselves (`nova_object.data`), so every way to split the path is tried.
/// Lists are looked into without being named.
fn find(text: &str, range: Range<usize>, path: &str, found: &mut Vec<Range<usize>>) {
    let base = range.start;
    for part in parts(&text[range]) {
        let place = base + part.range.start..base + part.range.end;
        let Some(key) = part.key else {
            find(text, place, path, found);
            continue;
        };
        for name in [&*key, "*"] {
            match path.strip_prefix(name) {
                Some("") => found.push(place.clone()),
                Some(rest) => {
                    if let Some(rest) = rest.strip_prefix('.') {
                        find(text, place.clone(), rest, found);
                    }
                }
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::replaced;

    fn payload(text: &str, paths: &[&str]) -> String {
        let paths: Vec<String> = paths.iter().map(|&path| format!("payload{path}")).collect();
        replaced(text, "payload", &paths).unwrap_or_else(|| "as it was".to_owned())
    }

    #[test]
    fn a_path_names_values_through_objects_lists_and_dotted_keys() {
        for (text, paths, expected) in [
            (r#"{"a": 1, "b": NaN}"#, &[".a"][..], r#"{"a": "***", "b": NaN}"#),
            (
                r#"{"a": {"b": [1, 2]}, "c": 3}"#,
                &[".a.b", ".c"],
                r#"{"a": {"b": "***"}, "c": "***"}"#,
            ),
            (r#"{"x.data": {"a.b": 1}}"#, &[".x.data.a.b"], r#"{"x.data": {"a.b": "***"}}"#),
            (r#"[{"a": 1}, [{"a": 2}]]"#, &[".a"], r#"[{"a": "***"}, [{"a": "***"}]]"#),
            (r#"{"a": {"x": 1, "y": 2}}"#, &[".a.*"], r#"{"a": {"x": "***", "y": "***"}}"#),
            (r#"{"a": {"x": 1}}"#, &[".a.x", ".a"], r#"{"a": "***"}"#),
            (r#"{"a": 1, "a": 2}"#, &[".a"], r#"{"a": "***", "a": "***"}"#),
            (r#"{"a": 1}"#, &[""], r#""***""#),
            (r#"{"a": 1}"#, &[".b", ".a.b", "x.a"], "as it was"),
            ("12", &[".a"], "as it was"),
        ] {
            assert_eq!(payload(text, paths), expected, "{text} {paths:?}");
        }
    }

    #[test]
    fn a_masked_context_stays_an_object() {
        let paths = ["context".to_owned()];
        assert_eq!(replaced("{\"a\":1}", "context", &paths).unwrap(), "{\"a\":\"***\"}");
        assert_eq!(replaced("{\"a\":1}", "payload", &paths), None);
    }
}
