//! The bitbench record and everything that is derived from it.
//!
//! A run appends [`record::Record`] lines to `records.jsonl`; nothing else is stored. Every table and page is a function of
//! those lines: [`summary`] turns samples into figures with a spread, [`compare`] joins each row to its baseline,
//! [`columns`] says what a table shows, and [`render`] writes it.
#![forbid(unsafe_code)]

pub mod record;
