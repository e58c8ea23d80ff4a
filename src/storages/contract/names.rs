//! Promises about names and listings.

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::storages::contract::Kept;
use crate::storages::contract::at::{At, noise, same};

pub(super) async fn prefixes(at: &At<'_>) -> Kept {
    let all = ["a", "ab/c", "b/deep/er/x"];
    for name in all {
        at.put(name, &noise(1, 5)).await?;
    }
    let cases: [(&str, &[&str]); 10] = [
        ("", &all),
        ("a", &["a", "ab/c"]),
        ("ab", &["ab/c"]),
        ("a/", &[]),
        ("b/", &["b/deep/er/x"]),
        ("b/d", &["b/deep/er/x"]),
        ("b/deep/er/x", &["b/deep/er/x"]),
        ("b/deep/er/x/", &[]),
        ("none", &[]),
        ("none/at/all/", &[]),
    ];
    for (prefix, should) in cases {
        let should: Vec<String> = should.iter().map(|name| (*name).to_owned()).collect();
        same(&format!("the list of {prefix:?}"), at.names(prefix).await?, should)?;
    }
    Ok(())
}

pub(super) async fn odd(at: &At<'_>) -> Kept {
    let long = "n".repeat(180);
    let few = vec![".%2F ä+#&'=;@!(x)~`{}$,[1]^", &long];
    let mut many = few.clone();
    many.extend([
        ".hidden",
        "日本/ы",
        "e\u{301}",
        "é",
        "-rf",
        "x .y",
        "..z",
        "a..b",
        "CON",
        "UPPER",
        "upper",
    ]);
    let mut names = at.pick(few, many);
    for name in &names {
        at.put(name, &noise(name.len() as u64, 20)).await?;
    }
    names.sort_unstable();
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    same("the list", at.names("").await?, names.clone())?;
    for name in names {
        at.holds(&name, &noise(name.len() as u64, 20)).await?;
    }
    Ok(())
}

pub(super) async fn many(at: &At<'_>) -> Kept {
    let bytes = noise(1, 3);
    let names: Vec<_> = (0..2500).map(|number| format!("many/{number:04}")).collect();
    let puts: Vec<_> = names.iter().map(|name| at.put(name, &bytes)).collect();
    stream::iter(puts).buffer_unordered(16).try_collect::<Vec<_>>().await?;
    same("the list of 2500", at.names("many/").await?, names)
}
