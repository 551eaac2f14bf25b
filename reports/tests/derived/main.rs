//! What is derived from a stored run: figures, comparisons, tables and pages.

mod disturbance;
mod exports;
mod gate;
mod golden;
mod history;
mod layers;
mod page;
mod pairs;
mod slices;
mod summary;
mod support;
mod variants;
mod versus;
