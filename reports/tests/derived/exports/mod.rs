//! Every format of a file: what it says of stored runs, that its figures are those of the record, and that it does no harm.

mod cells;
mod golden;
mod injection;
mod schema;
mod splice;
mod statistics;
mod stored;
mod trace;
mod traced;
