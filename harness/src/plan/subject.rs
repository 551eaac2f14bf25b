//! The models of a plan: shapes and files, resolved.

use super::PlanError;
use crate::models;
use crate::suite::{self, Shape, find_shape};
use crate::worker::ModelSource;
use bitbench_engine::model::Config;
use std::path::{Path, PathBuf};

/// One model of the plan, resolved.
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) config: Config,
    pub(super) tied_head: bool,
    /// What was decided about a file that it does not say itself.
    pub(super) notes: Vec<String>,
    pub(super) kind: SubjectKind,
}

pub(super) enum SubjectKind {
    Shape(Box<Shape>),
    /// A file, its hash, and why ternary kernels cannot run it as it is.
    File {
        path: PathBuf,
        hash: String,
        not_ternary: Option<String>,
    },
}

impl Subject {
    /// Whether a worker finds these weights there.
    pub(super) fn is(&self, source: &ModelSource) -> bool {
        match (&self.kind, source) {
            (SubjectKind::Shape(_), ModelSource::Synthetic { .. }) => true,
            (SubjectKind::File { path: a, .. }, ModelSource::File { path: b, .. }) => a == b,
            _ => false,
        }
    }
}

/// Name and hyperparameters of a shape, or of the file at this path.
///
/// # Errors
/// See [`PlanError`].
pub fn model_config(name: &str) -> Result<(String, Config), PlanError> {
    let subject = resolve(&suite::load_shapes()?, name)?;
    Ok((subject.name, subject.config))
}

/// A shape of this name, or the file or folder at this path.
pub(super) fn resolve(shapes: &[Shape], name: &str) -> Result<Subject, PlanError> {
    if let Some(shape) = find_shape(shapes, name) {
        return Ok(Subject {
            name: shape.name.clone(),
            config: shape.config()?,
            tied_head: shape.tied_head,
            notes: Vec::new(),
            kind: SubjectKind::Shape(Box::new(shape.clone())),
        });
    }
    let path = Path::new(name);
    if !models::exists(path) {
        let known: Vec<&str> = shapes.iter().map(|s| s.name.as_str()).collect();
        return Err(PlanError::UnknownModel {
            name: name.to_owned(),
            known: known.join(", "),
        });
    }
    let opened = models::open(path, false).map_err(|e| PlanError::Model(e.to_string()))?;
    let hash = models::hash(path).map_err(|e| PlanError::Model(e.to_string()))?;
    let not_ternary = models::not_ternary(&opened.model);
    // What follows a dot in the name of a folder is no kind of file.
    let whole = path.canonicalize().ok().filter(|path| path.is_dir());
    let stem = match &whole {
        Some(folder) => folder.file_name(),
        None => path.file_stem(),
    };
    let stem = stem.unwrap_or_default().to_string_lossy().into_owned();
    Ok(Subject {
        name: stem,
        tied_head: opened.model.head.is_none(),
        notes: opened.model.notes,
        config: opened.model.config,
        kind: SubjectKind::File {
            path: path.to_owned(),
            hash,
            not_ternary,
        },
    })
}

impl ModelSource {
    /// The hyperparameters.
    ///
    /// # Errors
    /// If the shape or the file is at fault.
    pub fn config(&self) -> Result<Config, PlanError> {
        match self {
            ModelSource::Synthetic { shape, .. } => Ok(shape.config()?),
            ModelSource::Layer { .. } => Err(PlanError::Model("a layer has no network".to_owned())),
            ModelSource::File { path, .. } => models::open(path, false)
                .map(|m| m.model.config)
                .map_err(|e| PlanError::Model(e.to_string())),
        }
    }
}
