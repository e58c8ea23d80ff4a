//! Listings, a page at a time.

use futures_util::stream::{self, Stream, TryStreamExt};
use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use tracing::debug;

use crate::base::Key;
use crate::storages::swift::client::{Ask, Client, Shelf, encode};
use crate::storages::swift::trouble::Trouble;
use crate::storages::{Kind, Object};

/// A row of a listing.
#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    /// As the container has it, with what stands before every key.
    pub(super) name: String,
    /// For a large object the size of the whole.
    bytes: u64,
    last_modified: Option<String>,
}

/// Gives every object whose key begins with `prefix`.
pub(super) fn objects<'a>(
    client: &'a Client,
    prefix: &str,
) -> impl Stream<Item = Result<Object, Trouble>> + Send + 'a {
    let found = entries(client, Shelf::Objects, client.full(prefix));
    found.try_filter_map(move |entry| std::future::ready(Ok(object(client, entry))))
}

/// Others may have put names there that are no keys.
fn object(client: &Client, entry: Entry) -> Option<Object> {
    let Ok(key) = Key::new(client.below(&entry.name)?) else {
        debug!(storage = %client.name, name = ?entry.name, "foreign name");
        return None;
    };
    let modified = entry.last_modified.as_deref().and_then(time);
    Some(Object { key, bytes: entry.bytes, modified })
}

/// Gives every row of a container whose name begins with `prefix`; a missing container has none.
pub(super) fn entries(
    client: &Client,
    shelf: Shelf,
    prefix: String,
) -> impl Stream<Item = Result<Entry, Trouble>> + Send + '_ {
    let pages = stream::try_unfold(Some(String::new()), move |marker| {
        let prefix = prefix.clone();
        async move {
            let Some(marker) = marker else { return Ok(None) };
            let page = page(client, shelf, &prefix, &marker).await?;
            let next = page.last().map(|entry| entry.name.clone());
            if next.as_ref() == Some(&marker) {
                let problem = "the store gives the same page of a listing again and again";
                return Err(Trouble::new(Kind::Other, problem));
            }
            let marker = next;
            Ok::<_, Trouble>(Some((stream::iter(page.into_iter().map(Ok)), marker)))
        }
    });
    pages.try_flatten()
}

/// Asks for as many rows after `marker` as the store likes to give; none is the end.
async fn page(
    client: &Client,
    shelf: Shelf,
    prefix: &str,
    marker: &str,
) -> Result<Vec<Entry>, Trouble> {
    let container = client.shelf_path(shelf);
    let (prefix, marker) = (encode(prefix), encode(marker));
    let path = format!("{container}?format=json&prefix={prefix}&marker={marker}");
    let response = client.send(&Ask::new(Method::GET, path)).await?;
    match response.status() {
        StatusCode::NOT_FOUND | StatusCode::NO_CONTENT => return Ok(Vec::new()),
        status if status.is_success() => {}
        _ => return Err(Trouble::answer(response).await),
    }
    let url = response.url().clone();
    let body = response.bytes().await.map_err(|error| Trouble::failed(&url, error))?;
    let unreadable = "the store gave a listing that cannot be read";
    serde_json::from_slice(&body)
        .map_err(|error| Trouble::new(Kind::Other, unreadable).because(error))
}

/// Reads a time in UTC that does not say so.
fn time(text: &str) -> Option<Timestamp> {
    format!("{}Z", text.trim_end_matches('Z')).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_utc() {
        let read = |text| time(text).map(|time| time.to_string());
        let should = Some("2026-11-27T00:58:14.9587Z".to_owned());
        assert_eq!(read("2026-11-27T00:58:14.958700"), should);
        assert_eq!(read("2026-11-27T00:58:14.958700Z"), should);
        assert_eq!(read("yesterday"), None);
    }
}
