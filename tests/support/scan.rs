//! A reader of Rust source that is just good enough for `house.rs`: it blanks comments and
//! literals, then counts braces. It knows no macros and no types.

/// Returns `text` with comments and the insides of literals blanked; line breaks stay.
pub(crate) fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end > at {
            out.extend(chars[at..end].iter().map(|ch| if *ch == '\n' { '\n' } else { ' ' }));
            at = end;
        } else {
            out.push(chars[at]);
            at += 1;
        }
    }
    out
}

/// Returns `code` without the items that stand under `#[cfg(test)]`.
pub(crate) fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some((before, after)) = rest.split_once("#[cfg(test)]") {
        out.push_str(before);
        rest = &after[item_end(after)..];
    }
    out.push_str(rest);
    out
}

/// Returns every path that begins with `crate::`, without it, the groups of `use` spelled out.
pub(crate) fn crate_paths(code: &str) -> Vec<Vec<String>> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let opens = tokens[at] == "crate" && tokens.get(at + 1).is_some_and(|next| next == "::");
        if opens {
            tree(&tokens, at + 2, &mut Vec::new(), &mut found);
        }
    }
    found
}

/// Returns each function's name and how many lines stand between its braces.
pub(crate) fn functions(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let whole = !code[..at].ends_with(|ch: char| ch.is_alphanumeric() || ch == '_');
        let name: String =
            code[at + 3..].chars().take_while(|ch| ch.is_alphanumeric() || *ch == '_').collect();
        if !whole || name.is_empty() {
            continue;
        }
        let body = &code[at..at + item_end(&code[at..])];
        if let Some(open) = body.find('{').filter(|_| body.ends_with('}')) {
            found.push((name, body[open..].lines().count().saturating_sub(2)));
        }
    }
    found
}

/// Returns the modules that `code` keeps in files of their own, each with the inline modules
/// around it.
pub(crate) fn modules(code: &str) -> Vec<Vec<String>> {
    let (tokens, mut around, mut found) = (tokens(code), Vec::<(String, usize)>::new(), Vec::new());
    let mut depth = 0_usize;
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].as_str() {
            "mod" if tokens.get(at + 2).is_some_and(|next| next == "{") => {
                around.push((tokens[at + 1].clone(), depth));
                depth += 1;
                at += 2;
            }
            "mod" if tokens.get(at + 2).is_some_and(|next| next == ";") => {
                let mut names: Vec<String> = around.iter().map(|(name, _)| name.clone()).collect();
                names.push(tokens[at + 1].clone());
                found.push(names);
            }
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                around.retain(|(_, opened)| *opened < depth);
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Where the comment or literal that begins at `at` ends; `at` itself where none begins.
fn literal_end(chars: &[char], at: usize) -> usize {
    let next = |more: usize| chars.get(at + more).copied().unwrap_or('\0');
    let word = |ch: char| ch.is_alphanumeric() || ch == '_';
    let fresh = at == 0 || !word(chars[at - 1]) || (at >= 1 && matches!(chars[at - 1], 'b' | 'c'));
    match chars[at] {
        '/' if next(1) == '/' => {
            at + chars[at..].iter().position(|ch| *ch == '\n').unwrap_or(chars.len() - at)
        }
        '/' if next(1) == '*' => block_end(chars, at),
        'r' if fresh && (next(1) == '"' || next(1) == '#') => raw_end(chars, at),
        '"' => quote_end(chars, at, '"'),
        '\'' if next(1) == '\\' || (next(2) == '\'' && next(1) != '\'') => {
            quote_end(chars, at, '\'')
        }
        _ => at,
    }
}

fn block_end(chars: &[char], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn raw_end(chars: &[char], start: usize) -> usize {
    let hashes = chars[start + 1..].iter().take_while(|ch| **ch == '#').count();
    if chars.get(start + 1 + hashes) != Some(&'"') {
        return start; // a raw identifier
    }
    let mut at = start + 2 + hashes;
    while at < chars.len() {
        let closes = chars[at] == '"'
            && chars[at + 1..].iter().take(hashes).filter(|ch| **ch == '#').count() == hashes;
        if closes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    at
}

fn quote_end(chars: &[char], start: usize, quote: char) -> usize {
    let mut at = start + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// Where the item that `code` begins with ends: after its `;`, or after its braces.
fn item_end(code: &str) -> usize {
    let (mut braces, mut others) = (0_i32, 0_i32);
    for (at, ch) in code.char_indices() {
        match ch {
            '(' | '[' => others += 1,
            ')' | ']' => others -= 1,
            '{' => braces += 1,
            '}' => {
                braces -= 1;
                if braces == 0 && others == 0 {
                    return at + 1;
                }
            }
            ';' if braces == 0 && others == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// Follows one path of a `use` tree, or of an expression, from token `at`; returns where it
/// ended.
fn tree(
    tokens: &[String],
    at: usize,
    path: &mut Vec<String>,
    found: &mut Vec<Vec<String>>,
) -> usize {
    match tokens.get(at).map(String::as_str) {
        Some("{") => {
            let mut at = at + 1;
            while at < tokens.len() && tokens[at] != "}" {
                at = if tokens[at] == "," {
                    at + 1
                } else {
                    tree(tokens, at, path, found).max(at + 1)
                };
            }
            at + 1
        }
        Some(name)
            if name == "*" || name.starts_with(|ch: char| ch.is_alphabetic() || ch == '_') =>
        {
            path.push(name.to_owned());
            let deeper = tokens.get(at + 1).is_some_and(|next| next == "::");
            let end = match tokens.get(at + 2).map(String::as_str) {
                Some("<") | None => at + 1,
                Some(_) if deeper => tree(tokens, at + 2, path, found),
                Some(_) => at + 1,
            };
            if end == at + 1 {
                found.push(path.clone());
            }
            path.pop();
            match tokens.get(end).map(String::as_str) {
                Some("as") => end + 2,
                _ => end,
            }
        }
        _ => at,
    }
}

/// Words, `::`, and single signs.
fn tokens(code: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut chars = code.chars().peekable();
    while let Some(ch) = chars.next() {
        let mut token = String::from(ch);
        if ch.is_whitespace() {
            continue;
        } else if ch.is_alphanumeric() || ch == '_' {
            while let Some(more) = chars.next_if(|ch| ch.is_alphanumeric() || *ch == '_') {
                token.push(more);
            }
        } else if ch == ':' {
            token.extend(chars.next_if_eq(&':'));
        }
        found.push(token);
    }
    found
}
