//! Requests, answers and remote errors as they come from RabbitMQ: nothing panics, and what was read is the same once it
//! was written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oslo_messaging::fuzzing::rabbit_messages;

fuzz_target!(|body: &[u8]| rabbit_messages(body));
