//! Contenders run in processes of their own: our engine through the same door as any peer.

mod burn;
mod layer;
mod pinned;
mod process;
mod protocol;
mod serve;

pub(crate) use layer::{
    copies as layer_copies, matrices_of_repetition as layer_matrices_of_repetition,
};
pub use process::{Process, WorkerError};
pub use protocol::{LoadedReply, ModelSource, PROTOCOL, Reply, Request, WindowReply};
pub use serve::{serve, shape_of};
