//! Two builds of bitbench against each other: where they come from, and the runs that are made of both.

mod builds;
pub mod instructions;
mod session;

pub use builds::{BuildError, Built, Place, place, revision};
pub use session::{Designed, Session, SessionError, design, folder_of};
