//! Topics as a user names them, and as the broker does.

use oslo_messaging::{Priority, TransportUrl};

/// The virtual host as a part of topic names: `/` and nothing are none.
pub(super) fn virtual_host(url: &TransportUrl) -> Option<&str> {
    url.virtual_host().filter(|host| *host != "/")
}

/// Whether a name is a whole one, such as `notifications.info` or `notifications.info.vhost`.
pub(super) fn is_whole(topic: &str, virtual_host: Option<&str>) -> bool {
    let ends_in_priority = |name: &str| {
        let word = name.rsplit_once('.').map(|(_, word)| word);
        word.is_some_and(|word| Priority::ALL.iter().any(|priority| priority.as_str() == word))
    };
    let before_host = virtual_host
        .and_then(|host| topic.strip_suffix(host))
        .and_then(|name| name.strip_suffix('.'));
    ends_in_priority(topic) || before_host.is_some_and(ends_in_priority)
}

/// The broker's names: whole ones as they are, any other joined with the priorities and the
/// virtual host. Each once.
pub(super) fn whole_names(
    topics: &[String],
    priorities: &[Priority],
    virtual_host: Option<&str>,
) -> Vec<String> {
    let mut names = Vec::new();
    for topic in topics {
        if is_whole(topic, virtual_host) {
            names.push(topic.clone());
            continue;
        }
        let host = virtual_host.map_or_else(String::new, |host| format!(".{host}"));
        names.extend(priorities.iter().map(|priority| format!("{topic}.{priority}{host}")));
    }
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

#[cfg(test)]
mod tests {
    use super::{is_whole, whole_names};
    use oslo_messaging::Priority;

    #[test]
    fn a_name_that_ends_in_a_priority_is_whole() {
        for (topic, host, expected) in [
            ("notifications.info", None, true),
            ("a.b.error", None, true),
            ("notifications.info.v", Some("v"), true),
            ("notifications.info", Some("v"), true),
            ("notifications.info.v", None, false),
            ("notifications", None, false),
            ("info", None, false),
            ("notifications.information", None, false),
            ("notifications.infov", Some("v"), false),
        ] {
            assert_eq!(is_whole(topic, host), expected, "{topic} {host:?}");
        }
    }

    #[test]
    fn other_names_are_joined_with_priorities_and_virtual_host_and_doubles_removed() {
        let topics = ["a", "a.info.v", "b.warn"].map(str::to_owned);
        let names = whole_names(&topics, &[Priority::Info, Priority::Warn], Some("v"));
        assert_eq!(names, ["a.info.v", "a.warn.v", "b.warn"]);
        assert_eq!(whole_names(&topics[..1], &Priority::ALL, None).len(), 7);
    }
}
