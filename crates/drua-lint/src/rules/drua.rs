use super::Family::Dockerfile;
use super::Rule;
use crate::report::Severity::Error;
pub(super) const RULES: &[Rule] = &[Rule::new(Dockerfile, "DR0001", "syntax", Error)
    .says(
        "The file must be one that the builder understands",
        "Nothing else can be said about a file with mistakes in its syntax, and it cannot be built.",
    )
    .shows("FROM alpine:3.22\nRUM echo hi\n", "FROM alpine:3.22\nRUN echo hi\n")];
