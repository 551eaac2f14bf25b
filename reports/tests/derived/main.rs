//! What is derived from a stored run: figures, comparisons, tables and pages.

mod disturbance;
mod golden;
mod pairs;
mod summary;
mod support;
mod variants;
