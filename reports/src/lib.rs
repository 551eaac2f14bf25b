//! The bitbench record and everything that is derived from it.
//!
//! A run appends [`record::Record`] lines to `records.jsonl`; nothing else is stored. Every table and page is a function of
//! those lines: [`round`] reduces one round to one number of each kind, [`summary`] turns rounds into figures with a spread,
//! [`disturbance`] says what touched them, [`compare`] joins each row to its baseline, [`columns`] says what a table shows,
//! [`render`] shows it, and [`export`] has the formats of files, whose [`schema`] is published. [`design`] says in which order
//! the rounds came. [`splice`] puts a table into another file.
//! [`history`] keeps summary rows of many runs, by commit.
//! [`gate`] holds two builds against each other, each round a process of both; [`versus`] stored runs of two builds.
//! [`roofline`] is apart: the limits of a machine, measured by a command of their own. So is [`modelled`]: energy that nobody
//! measured, never in a report.
#![forbid(unsafe_code)]

mod cell;
pub mod columns;
pub mod compare;
pub mod control;
pub mod design;
pub mod disturbance;
pub mod export;
pub mod gate;
pub mod history;
pub mod judge;
pub mod modelled;
pub mod paired;
pub mod precision;
pub mod published;
pub mod record;
pub mod render;
pub mod report;
pub mod roofline;
pub mod round;
pub mod schema;
pub mod slices;
pub mod splice;
pub mod stats;
pub mod summary;
pub mod versus;
pub mod warm_up;
pub mod window;
