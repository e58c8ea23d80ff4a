//! What went wrong with a call, before it is known whose call it was.
//!
//! What a server's answer means is for each kind to judge, and to put into words that tell what to
//! do.

use std::fmt;
use std::sync::Arc;

use crate::base::BoxError;
use crate::storages::{Error, Kind};
use crate::stream;

/// A call that failed. `M` is what a kind must know besides, such as whether the connection is
/// lost.
#[derive(Clone, Debug)]
pub(super) struct Trouble<M = ()> {
    pub(super) kind: Kind,
    pub(super) mark: M,
    problem: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl<M: Default> Trouble<M> {
    /// Says `problem`, which has no deeper cause.
    pub(super) fn new(kind: Kind, problem: impl Into<String>) -> Self {
        Self { kind, mark: M::default(), problem: problem.into(), source: None }
    }

    /// Says `problem`, which comes from `source`.
    pub(super) fn of(kind: Kind, problem: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::new(kind, problem).because(source)
    }

    /// Says that the body broke, and why.
    pub(super) fn body(error: stream::Error) -> Self {
        Self::of(Kind::Body, "the bytes that were to be stored broke off", error)
    }
}

impl<M> Trouble<M> {
    /// Adds the deeper cause.
    pub(super) fn because(self, source: impl Into<BoxError>) -> Self {
        Self { source: Some(source.into().into()), ..self }
    }

    /// Adds what the kind must know besides.
    pub(super) fn marked(self, mark: M) -> Self {
        Self { mark, ..self }
    }
}

impl<M: fmt::Debug + Send + Sync + 'static> Trouble<M> {
    /// Makes the error of a call.
    pub(super) fn on(self, storage: &str, verb: &'static str, subject: impl fmt::Display) -> Error {
        Error::new(self.kind, storage, verb, subject, self)
    }
}

impl<M> fmt::Display for Trouble<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl<M: fmt::Debug> std::error::Error for Trouble<M> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::chain;

    #[test]
    fn a_body_that_broke_keeps_its_reason_as_a_cause() {
        let trouble = Trouble::<()>::body(stream::Error::new("no such table"));
        let error = trouble.on("offsite", "put", "db.sql");
        let said = "offsite: could not put db.sql: the bytes that were to be stored broke off";
        assert!(chain(&error).starts_with(said), "{}", chain(&error));
        let trouble = std::error::Error::source(&error).unwrap();
        assert!(trouble.source().unwrap().is::<stream::Error>());
    }
}
