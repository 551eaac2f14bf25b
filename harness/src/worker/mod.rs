//! Contenders run in processes of their own: our engine through the same door as any peer.

mod burn;
mod pinned;
mod process;
mod protocol;
mod serve;

pub use process::{Process, WorkerError};
pub use protocol::{LoadedReply, ModelSource, PROTOCOL, Reply, Request, WindowReply};
pub use serve::{serve, shape_of};
