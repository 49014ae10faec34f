//! The broker backends, each a cargo feature, a folder and a URL scheme of the same name.

#[cfg(feature = "fake")]
pub(crate) mod fake;
#[cfg(feature = "kafka")]
pub(crate) mod kafka;
#[cfg(feature = "rabbit")]
pub(crate) mod rabbit;
