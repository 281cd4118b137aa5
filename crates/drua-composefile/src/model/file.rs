use serde::Serialize;

use super::value::{Extensions, FileMode, Labels, omit};

/// How a service uses a secret or config.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FileReference {
    /// The key of the secret or config.
    #[serde(skip_serializing_if = "omit")]
    pub source: Option<String>,
    /// Where it is mounted.
    #[serde(skip_serializing_if = "omit")]
    pub target: Option<String>,
    /// Its owner.
    #[serde(skip_serializing_if = "omit")]
    pub uid: Option<String>,
    /// Its group.
    #[serde(skip_serializing_if = "omit")]
    pub gid: Option<String>,
    /// Its permissions.
    #[serde(skip_serializing_if = "omit")]
    pub mode: Option<FileMode>,
}

/// A secret or config of the project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FileObject {
    /// The engine's name of it.
    pub name: String,
    /// The file that it is, absolute.
    #[serde(skip_serializing_if = "omit")]
    pub file: Option<String>,
    /// The environment variable that it is.
    #[serde(skip_serializing_if = "omit")]
    pub environment: Option<String>,
    /// The text that it is (configs only).
    #[serde(skip_serializing_if = "omit")]
    pub content: Option<String>,
    /// It is kept elsewhere.
    #[serde(skip_serializing_if = "omit")]
    pub external: bool,
    /// Labels.
    #[serde(skip_serializing_if = "omit")]
    pub labels: Labels,
    /// The driver that keeps it.
    #[serde(skip_serializing_if = "omit")]
    pub driver: Option<String>,
    /// The driver's options.
    #[serde(skip_serializing_if = "omit")]
    pub driver_opts: Labels,
    /// The driver that fills in its text.
    #[serde(skip_serializing_if = "omit")]
    pub template_driver: Option<String>,
    /// The value of `environment`; never shown.
    #[serde(skip)]
    pub value: Option<String>,
    /// `x-` keys.
    #[serde(skip)]
    pub extensions: Extensions,
}

/// An AI model of the project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Model {
    /// The engine's name of it.
    #[serde(skip_serializing_if = "omit")]
    pub name: Option<String>,
    /// The OCI artifact.
    pub model: String,
    /// Tokens of context.
    #[serde(skip_serializing_if = "omit")]
    pub context_size: i64,
    /// Options of the inference engine.
    #[serde(skip_serializing_if = "omit")]
    pub runtime_flags: Vec<String>,
}

/// How a service uses a model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ModelUse {
    /// The variable that gets the endpoint's URL.
    #[serde(skip_serializing_if = "omit")]
    pub endpoint_var: Option<String>,
    /// The variable that gets the model's name.
    #[serde(skip_serializing_if = "omit")]
    pub model_var: Option<String>,
}
