//! SIGHUP: the configuration is read again, and what of it can count at once does.

use std::io::{self, IsTerminal};

use oslo_messaging::{Transport, config::Config};

use crate::{
    output,
    session::{Origins, Session},
};

/// What SIGHUP does to a command with this transport. `adjust` says again what the command sets on top
/// of the files.
///
/// `None`: at a terminal the signal says that the user has gone, and ends the command.
pub(crate) fn on_hangup(
    session: &Session,
    transport: &Transport,
    adjust: impl Fn(&mut Config) + Send + 'static,
) -> Option<Box<dyn Fn() + Send>> {
    if io::stdin().is_terminal() {
        return None;
    }
    let (origins, transport) = (session.origins.clone(), transport.clone());
    let verbosity = session.verbosity;
    Some(Box::new(move || match reload(&origins, &transport, &adjust) {
        Ok(count) => {
            let text = format!("configuration read again; changes that count now: {count}");
            output::note(verbosity, &text);
        }
        Err(error) => {
            output::error(format_args!(
                "the configuration is not taken, the old one counts: {error}"
            ));
        }
    }))
}

/// How many changes count. What needs a restart is in the log.
fn reload(
    origins: &Origins,
    transport: &Transport,
    adjust: &impl Fn(&mut Config),
) -> Result<usize, oslo_messaging::Error> {
    let mut config = origins.read()?;
    adjust(&mut config);
    Ok(transport.reload(&config)?.applied.len())
}
