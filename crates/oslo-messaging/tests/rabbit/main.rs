//! The driver `rabbit` on a real RabbitMQ: one broker for the tests that leave it alone, one of its own for each that
//! does not.

mod conforms;
mod faults;
mod messages;
mod refused;
mod support;
mod topology;
