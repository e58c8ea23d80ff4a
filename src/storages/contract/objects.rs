//! Promises about one object.

use bytes::Bytes;
use futures_util::stream;

use crate::base::{KIB, MIB, chain};
use crate::storages::Kind;
use crate::storages::contract::Kept;
use crate::storages::contract::at::{At, body, noise, same};
use crate::stream::{Algorithm, ByteStream, Hasher, digest_of};

pub(super) async fn come_back(at: &At<'_>) -> Kept {
    let few = vec![0, 1, MIB + 1];
    let many = vec![0, 1, 64 * KIB - 1, 64 * KIB, MIB - 1, MIB, MIB + 1, 4 * MIB, 9 * MIB + 7];
    for bytes in at.pick(few, many) {
        let (name, bytes) = (format!("{bytes}"), noise(bytes as u64, bytes));
        at.put(&name, &bytes).await?;
        at.holds(&name, &bytes).await?;
    }
    // Chunks of one byte, and empty ones between them.
    let (bytes, empty) = (noise(3, 300), ByteStream::from_bytes(Bytes::new()));
    let key = at.key("1")?;
    at.storage.put(&key, empty).await.map_err(|error| chain(&error))?;
    at.holds("1", &Bytes::new()).await?;
    at.storage.put(&key, body(&bytes, 1)).await.map_err(|error| chain(&error))?;
    at.holds("1", &bytes).await
}

pub(super) async fn ranges(at: &At<'_>) -> Kept {
    let length = at.pick(MIB + 100, 9 * MIB);
    let bytes = noise(5, length);
    at.put("object", &bytes).await?;
    let cases = [(0, 0), (0, 1), (length, length), (length - 1, length), (7, 7), (7, 70_000)];
    for (start, end) in cases.into_iter().chain([(0, length), (MIB - 1, MIB + 1)]) {
        let part = at.part("object", start as u64..end as u64).await?;
        if part != bytes[start..end] {
            return Err(format!("bytes {start}..{end} gave {} other bytes", part.len()));
        }
    }
    let length = length as u64;
    for part in [length - 1..length + 1, length..length + 1, length + 10..length + 20] {
        if let Ok(got) = at.part("object", part.clone()).await {
            return Err(format!("bytes {part:?} of {length} gave {} bytes", got.len()));
        }
    }
    Ok(())
}

pub(super) async fn nothing(at: &At<'_>) -> Kept {
    at.put("folder/object", &noise(1, 10)).await?;
    let names = ["absent", "absent/below", "folder", "folder/obj", "folder/object/below"];
    for name in names {
        let key = at.key(name)?;
        let stat = at.storage.stat(&key).await.map_err(|error| chain(&error))?;
        same(&format!("stat of {name}"), stat, None)?;
        match at.storage.get(&key, 0..1).await {
            Err(error) => same(&format!("the error of get {name}"), error.kind, Kind::NotFound)?,
            Ok(mut stream) => match stream.next().await {
                Err(_) => (),
                Ok(_) => return Err(format!("get of {name} gave something")),
            },
        }
    }
    Ok(())
}

pub(super) async fn replace(at: &At<'_>) -> Kept {
    for length in [200 * KIB, 10, 300 * KIB] {
        let bytes = noise(length as u64, length);
        at.put("object", &bytes).await?;
        at.holds("object", &bytes).await?;
        same("the list", at.names("").await?, vec!["object".to_owned()])?;
    }
    Ok(())
}

pub(super) async fn delete(at: &At<'_>) -> Kept {
    for name in ["a/b/one", "a/b/two"] {
        at.put(name, &noise(1, 100)).await?;
    }
    for _ in 0..2 {
        for name in ["a/b/one", "a/b", "never/was"] {
            at.storage.delete(&at.key(name)?).await.map_err(|error| chain(&error))?;
        }
        same("the list", at.names("").await?, vec!["a/b/two".to_owned()])?;
    }
    at.storage.delete(&at.key("a/b/two")?).await.map_err(|error| chain(&error))?;
    at.put("a/b/two", &noise(2, 100)).await?;
    at.holds("a/b/two", &noise(2, 100)).await
}

pub(super) async fn large(at: &At<'_>) -> Kept {
    let (chunk, chunks) = (noise(9, 4 * MIB), 75);
    let mut hasher = Hasher::new(Algorithm::Blake3);
    (0..chunks).for_each(|_| hasher.update(&chunk));
    let key = at.key("large")?;
    let body = ByteStream::from_stream(stream::iter((0..chunks).map(move |_| Ok(chunk.clone()))));
    let object = at.storage.put(&key, body).await.map_err(|error| chain(&error))?;
    same("the size", object.bytes, chunks * 4 * MIB as u64)?;
    let stream = at.storage.get(&key, 0..object.bytes).await.map_err(|error| chain(&error))?;
    let read = digest_of(stream, Algorithm::Blake3).await.map_err(|error| chain(&error))?;
    same("what comes back", read, (hasher.finish(), object.bytes))
}
