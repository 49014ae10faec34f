//! Names of topics: what is accepted Kafka accepts, what is refused it would refuse.
//!
//! The input is the target's topic and, after a line end, the virtual host.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oslo_messaging::{Priority, fuzzing::topic_name};

fuzz_target!(|text: &str| {
    let (topic, host) = match text.split_once('\n') {
        Some((topic, host)) => (topic, Some(host)),
        None => (text, None),
    };
    for priority in Priority::ALL {
        let wanted: Vec<&str> = [topic, priority.as_str()].into_iter().chain(host).collect();
        let wanted = wanted.join(".");
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let valid = !topic.is_empty() && wanted.len() <= 249 && wanted.bytes().all(legal);
        match topic_name(topic, priority, host) {
            Ok(name) => assert!(valid && name == wanted, "{name}"),
            Err(error) => assert!(!valid && error.to_string().len() > 20, "{error}"),
        }
    }
});
