//! Gates: whether a new build is worse than an old one.

pub mod instructions;
