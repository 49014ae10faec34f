//! Configuration files: nothing panics, what was read is found again, and no value is shown.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oslo_messaging::{
    Transport,
    config::{Config, Ini, Options},
};

const GROUPS: [&str; 3] = ["DEFAULT", "oslo_messaging_kafka", "oslo_messaging_notifications"];
/// A value that stands for a password.
const SECRET: &str = "Correct0Horse0Battery";

fn options(text: &str) {
    let ini = match Ini::parse(text, "fuzz.conf") {
        Ok(ini) => ini,
        Err(error) => return assert!(!format!("{error} {error:?}").contains(SECRET)),
    };
    assert!(!format!("{ini:?}").contains(SECRET));
    let lines = 1 + text.replace("\r\n", "\n").matches(['\n', '\r']).count();
    let mut before = 0;
    for entry in ini.entries() {
        assert!(before < entry.line() && entry.line() <= lines, "lines rise");
        before = entry.line();
        assert!(!entry.name().is_empty() && !entry.group().is_empty());
        let mut same = ini.values(entry.group(), entry.name());
        assert!(same.any(|found| found.value() == entry.value()));
    }
    let mut config = Config::new();
    config.add(ini.clone()).add(ini.clone());
    for entry in ini.entries() {
        let all = config.values(entry.group(), entry.name());
        let last = config.value(entry.group(), entry.name());
        assert_eq!(last.as_ref(), all.last(), "a scalar is the last value");
    }
    for group in GROUPS {
        match Options::resolve(group, &config, &[]) {
            Ok(options) => assert!(!format!("{options:?}").contains(SECRET)),
            Err(error) => assert!(!format!("{error} {error:?}").contains(SECRET), "{error}"),
        }
    }
    let opened = Transport::builder().config(config).for_notifications();
    let shown = match opened {
        Ok(transport) => format!("{transport:?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!shown.contains(SECRET), "{shown}");
}

fuzz_target!(|text: &str| {
    // librdkafka would load a library of that name.
    // As with URLs, the fuzzer would put the password where none can be.
    if text.contains("plugin") || text.contains(SECRET) {
        return;
    }
    options(text);
    // Behind and before the same text, a password.
    options(&format!("{text}\n\n[oslo_messaging_kafka]\nssl_client_key_password = {SECRET}\n"));
    options(&format!("[DEFAULT]\ntransport_url = kafka://u:{SECRET}@host/\n{text}"));
});
