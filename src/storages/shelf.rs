//! A storage in memory for tests.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use jiff::Timestamp;

use crate::base::Key;
use crate::storages::{Error, Kind, Object, ObjectStream, Result, Storage};
use crate::stream::ByteStream;

/// Objects in a map; `down` makes every call fail.
#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) objects: Mutex<BTreeMap<Key, (Bytes, Option<Timestamp>)>>,
    pub(crate) down: Mutex<Option<(Kind, &'static str)>>,
}

impl Shelf {
    pub(crate) fn with(self, key: &str, body: impl Into<Bytes>, at: Option<Timestamp>) -> Self {
        let key = Key::new(key).unwrap();
        self.objects.lock().unwrap().insert(key, (body.into(), at));
        self
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.objects.lock().unwrap().keys().map(Key::to_string).collect()
    }

    fn check(&self, verb: &'static str) -> Result<()> {
        match *self.down.lock().unwrap() {
            Some((kind, broken)) if broken == verb || broken == "all" => {
                Err(Error::new(kind, "shelf", verb, "", "broken"))
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Storage for Shelf {
    async fn put(&self, key: &Key, body: ByteStream) -> Result<Object> {
        self.check("put")?;
        let body = body.collect(1 << 30).await.unwrap();
        let bytes = body.len() as u64;
        self.objects.lock().unwrap().insert(key.clone(), (body, None));
        Ok(Object { key: key.clone(), bytes, modified: None })
    }
    async fn get(&self, key: &Key, part: Range<u64>) -> Result<ByteStream> {
        self.check("get")?;
        let body = self.objects.lock().unwrap().get(key).map(|(body, _)| body.clone());
        let body = body.ok_or_else(|| Error::new(Kind::NotFound, "shelf", "get", key, "absent"))?;
        Ok(ByteStream::from_bytes(body.slice(part.start as usize..part.end as usize)))
    }
    async fn stat(&self, key: &Key) -> Result<Option<Object>> {
        self.check("stat")?;
        let objects = self.objects.lock().unwrap();
        let object = |(body, modified): &(Bytes, Option<Timestamp>)| Object {
            key: key.clone(),
            bytes: body.len() as u64,
            modified: *modified,
        };
        Ok(objects.get(key).map(object))
    }
    fn list<'a>(&'a self, prefix: &'a str) -> ObjectStream<'a> {
        if let Err(error) = self.check("list") {
            return futures_util::stream::iter([Err(error)]).boxed();
        }
        let objects = self.objects.lock().unwrap();
        let found = objects.iter().filter(|(key, _)| key.as_str().starts_with(prefix));
        let object = |(key, (body, modified)): (&Key, &(Bytes, Option<Timestamp>))| {
            Ok(Object { key: key.clone(), bytes: body.len() as u64, modified: *modified })
        };
        futures_util::stream::iter(found.map(object).collect::<Vec<_>>()).boxed()
    }
    async fn delete(&self, key: &Key) -> Result<()> {
        self.check("delete")?;
        self.objects.lock().unwrap().remove(key);
        Ok(())
    }
}
