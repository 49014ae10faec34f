//! Which notifications `tail` shows.

use oslo_messaging::{Notification, NotificationFilter, Priority, wire::DecodeError};

use crate::exit::Failure;

/// The filters of the command line, together.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    priorities: Vec<Priority>,
    filter: NotificationFilter,
    undecodable: bool,
}

impl Wanted {
    /// Compiles the filters.
    ///
    /// # Errors
    ///
    /// Code 2 for a regular expression that Python would refuse.
    pub(super) fn new(
        priorities: &[Priority],
        event_type: Option<String>,
        publisher: Option<String>,
    ) -> Result<Self, Failure> {
        let undecodable = event_type.is_none() && publisher.is_none();
        let mut filter = NotificationFilter::builder();
        if let Some(glob) = event_type {
            filter = filter.event_type(regex_of(&glob));
        }
        if let Some(publisher) = publisher {
            // Its own faults are told of the expression as it was given.
            NotificationFilter::builder().publisher_id(&*publisher).build()?;
            filter = filter.publisher_id(found_anywhere(&publisher));
        }
        Ok(Self { priorities: priorities.to_vec(), filter: filter.build()?, undecodable })
    }

    /// What cannot be decoded is shown unless a filter asks for something in it.
    pub(super) fn takes(&self, content: Result<&Notification, &DecodeError>) -> bool {
        match content {
            Ok(notification) => {
                (self.priorities.is_empty() || self.priorities.contains(&notification.priority))
                    && self.filter.matches(notification)
            }
            Err(_) => self.undecodable,
        }
    }
}

/// The library's rules match at the start; this one matches wherever the expression does.
fn found_anywhere(regex: &str) -> String {
    // Flags for the whole expression may stand only before everything else.
    let flags = regex.strip_prefix("(?").and_then(|rest| rest.split_once(')'));
    match flags {
        Some((flags, rest))
            if !flags.is_empty() && flags.bytes().all(|byte| byte.is_ascii_alphabetic()) =>
        {
            format!("(?{flags})(?s:.*?)(?:{rest})")
        }
        _ => format!("(?s:.*?)(?:{regex})"),
    }
}

/// A shell pattern as a regular expression, as Python's `fnmatch.translate` does it.
fn regex_of(glob: &str) -> String {
    let mut regex = String::from("(?s:");
    let mut rest = glob.chars();
    while let Some(c) = rest.next() {
        match c {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '[' => match class(rest.as_str()) {
                Some((class, after)) => {
                    regex.push_str(&class);
                    rest = after.chars();
                }
                None => regex.push_str(r"\["),
            },
            c if c.is_ascii_punctuation() && c != '_' => regex.extend(['\\', c]),
            c => regex.push(c),
        }
    }
    regex.push_str(r")\Z");
    regex
}

/// A class such as `[!a-z]`, of what stands after its `[`, and what follows it.
fn class(text: &str) -> Option<(String, &str)> {
    let (not, inside) = match text.strip_prefix('!') {
        Some(inside) => ("^", inside),
        None => ("", text),
    };
    // A bracket that comes first is a character of the class.
    let first = inside.chars().next()?.len_utf8();
    let end = first + inside.get(first..)?.find(']')?;
    let mut class = format!("[{not}");
    for c in inside[..end].chars() {
        match c {
            '-' => class.push('-'),
            c if c.is_ascii_punctuation() => class.extend(['\\', c]),
            c => class.push(c),
        }
    }
    class.push(']');
    Some((class, &inside[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::Wanted;
    use oslo_messaging::{Context, Notification, Payload, Priority, wire};

    fn takes(wanted: &Wanted) -> bool {
        let notification = Notification::new(
            "nova-compute:cmp-017",
            "compute.instance.create.end",
            Priority::Info,
            Payload::null(),
            Context::empty(),
        );
        wanted.takes(Ok(&notification))
    }

    #[test]
    fn event_types_are_matched_whole_by_shell_patterns() {
        for (glob, expected) in [
            ("compute.instance.*", true),
            ("*", true),
            ("*.end", true),
            ("compute.instance", false),
            ("compute?instance.create.en[a-d]", true),
            ("compute.instance.create.en[!a-d]", false),
            ("compute.instance.create.en[]d]", true),
            ("[", false),
            ("compute.instance.create.e{1}nd", false),
            ("computeXinstance.*", false),
        ] {
            let wanted = Wanted::new(&[], Some(glob.to_owned()), None).unwrap();
            assert_eq!(takes(&wanted), expected, "{glob}");
        }
    }

    #[test]
    fn publishers_are_found_anywhere_by_regular_expressions() {
        for (regex, expected) in [
            ("cmp-017", true),
            ("^nova", true),
            ("^cmp", false),
            (r"cmp-\d+$", true),
            ("(?i)CMP", true),
            ("(?i:CMP)", true),
            ("CMP", false),
            ("x|cmp", true),
            ("(?:cmp)", true),
        ] {
            let wanted = Wanted::new(&[], None, Some(regex.to_owned())).unwrap();
            assert_eq!(takes(&wanted), expected, "{regex}");
        }
        assert!(Wanted::new(&[], None, Some("(".to_owned())).is_err());
    }

    #[test]
    fn what_cannot_be_decoded_passes_only_without_filters() {
        let error = wire::decode(b"x").unwrap_err();
        let wanted = Wanted::new(&[], None, None).unwrap();
        assert!(wanted.takes(Err(&error)) && takes(&wanted));
        let wanted = Wanted::new(&[], Some("*".to_owned()), None).unwrap();
        assert!(!wanted.takes(Err(&error)));
        assert!(!takes(&Wanted::new(&[Priority::Warn], None, None).unwrap()));
    }
}
