//! The form of a dump: what its bytes must be, beyond the good end of whoever made them.
//!
//! A form sees every byte once, in order, and says at the end whether the dump is whole. It holds
//! back at most a few bytes.

use bytes::Bytes;

use crate::sources::{Error, Kind, Result};
use crate::stream::{self, ByteStream, Dump, DumpFacts, Pending, Promise};

/// What the bytes of a dump must be.
pub(in crate::sources) trait Form: Send + 'static {
    /// Takes the next chunk and gives what goes on of it and of what was held back.
    ///
    /// Errors: in words that follow the subject.
    fn pass(&mut self, chunk: Bytes) -> std::result::Result<Bytes, String>;
    /// Judges the whole: gives what was held back, and adds to what is known.
    ///
    /// Errors: in words that follow the subject.
    fn end(&mut self, facts: &mut DumpFacts) -> std::result::Result<Bytes, String>;
}

/// Lets a dump of `subject` end well only where its form is good, too.
pub(in crate::sources) fn checked(subject: &str, dump: Dump, form: impl Form) -> Dump {
    let (promise, facts) = Pending::new();
    let passing = Passing { subject: subject.to_owned(), dump, promise, form };
    let stream = futures_util::stream::unfold(Some(passing), |passing| async move {
        let mut passing = passing?;
        match passing.dump.bytes.next().await {
            Ok(None) => Some((passing.end().await, None)),
            Err(error) => Some((Err(error), None)),
            Ok(Some(chunk)) => match passing.form.pass(chunk) {
                Ok(chunk) => Some((Ok(chunk), Some(passing))),
                Err(why) => Some((Err(broken(&passing.subject, why)), None)),
            },
        }
    });
    Dump { bytes: ByteStream::from_stream(stream), facts }
}

/// Reads a stored dump of `subject` to its end; gives its form, for what it learnt.
///
/// Errors: when the stream breaks or its form is not good.
pub(in crate::sources) async fn inspected<F: Form>(
    subject: &str,
    mut dump: ByteStream,
    mut form: F,
) -> Result<F> {
    let wrong = |problem: String| failure(subject, problem);
    let unread = |error| wrong(format!("could not be read: {}", crate::base::chain(&error)));
    while let Some(chunk) = dump.next().await.map_err(unread)? {
        form.pass(chunk).map_err(wrong)?;
    }
    form.end(&mut DumpFacts::default()).map_err(wrong)?;
    Ok(form)
}

struct Passing<F> {
    subject: String,
    dump: Dump,
    promise: Promise<DumpFacts>,
    form: F,
}

impl<F: Form> Passing<F> {
    async fn end(self) -> std::result::Result<Bytes, stream::Error> {
        let Self { subject, dump, promise, mut form } = self;
        let mut facts = dump.facts.get().await?;
        let rest = form.end(&mut facts).map_err(|why| broken(&subject, why))?;
        promise.keep(facts);
        Ok(rest)
    }
}

fn broken(subject: &str, problem: String) -> stream::Error {
    stream::Error::new(failure(subject, problem))
}

fn failure(subject: &str, problem: String) -> Error {
    Error { kind: Kind::Other, subject: subject.to_owned(), problem, source: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Good where it ends with a point, which it holds back.
    struct Point(Vec<u8>);

    impl Form for Point {
        fn pass(&mut self, chunk: Bytes) -> std::result::Result<Bytes, String> {
            self.0.extend_from_slice(&chunk);
            let last = self.0.split_off(self.0.len() - 1);
            Ok(std::mem::replace(&mut self.0, last).into())
        }

        fn end(&mut self, facts: &mut DumpFacts) -> std::result::Result<Bytes, String> {
            facts.checked = Some("point".to_owned());
            match self.0.as_slice() {
                b"." => Ok(Bytes::from_static(b".")),
                _ => Err("has no point".to_owned()),
            }
        }
    }

    fn dump(text: &'static str) -> Dump {
        let bytes = ByteStream::from_bytes(text);
        checked("db", Dump::new(bytes, DumpFacts::default()), Point(Vec::new()))
    }

    #[tokio::test]
    async fn a_good_form_gives_all_bytes_and_what_is_known() {
        let dump = dump("a.");
        assert_eq!(dump.bytes.collect(10).await.unwrap(), "a.");
        assert_eq!(dump.facts.get().await.unwrap().checked.as_deref(), Some("point"));
    }

    #[tokio::test]
    async fn a_bad_form_breaks_the_stream_and_nothing_is_known() {
        let dump = dump("ab");
        let error = dump.bytes.collect(10).await.unwrap_err();
        assert_eq!(crate::base::chain(&error), "db: has no point");
        assert!(dump.facts.get().await.is_err());
    }
}
