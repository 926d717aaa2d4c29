//! Filter patterns of branches, tags and paths (docs.github.com, "Filter pattern cheat sheet"): `*` all but `/`, `**` all, `?` and `+` after a
//! character, `[…]`, `!` before a pattern that takes back what an earlier one took.
//!
//! A pattern is run as a set of states, in time proportional to pattern times text, whatever they say.

/// Whether a list of patterns takes a name: the last pattern that matches decides.
pub fn matches<S: AsRef<str>>(patterns: &[S], name: &str) -> bool {
    let mut taken = false;
    for pattern in patterns {
        let pattern = pattern.as_ref();
        match pattern.strip_prefix('!') {
            Some(pattern) if taken => taken = !matches_one(pattern, name),
            Some(_) => {}
            None => taken = taken || matches_one(pattern, name),
        }
    }
    taken
}

enum Part {
    /// One character that fits.
    One(Fits),
    /// Goes on here, or there.
    Split(usize),
    /// Goes on there.
    Jump(usize),
}

enum Fits {
    Any,
    NoSlash,
    Is(char),
    In(Vec<(char, char)>),
}

impl Fits {
    fn fits(&self, c: char) -> bool {
        match self {
            Self::Any => true,
            Self::NoSlash => c != '/',
            Self::Is(is) => *is == c,
            Self::In(ranges) => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)),
        }
    }
}

fn matches_one(pattern: &str, name: &str) -> bool {
    let parts = compile(pattern);
    let mut states = vec![false; parts.len() + 1];
    enter(&parts, 0, &mut states);
    for c in name.chars() {
        let mut next = vec![false; parts.len() + 1];
        for (at, part) in parts.iter().enumerate() {
            if let (true, Part::One(fits)) = (states.get(at).copied().unwrap_or_default(), part)
                && fits.fits(c)
            {
                enter(&parts, at + 1, &mut next);
            }
        }
        states = next;
    }
    states.last().copied().unwrap_or_default()
}

/// Marks a state and all that are reached from it without a character.
fn enter(parts: &[Part], at: usize, states: &mut [bool]) {
    let mut waiting = vec![at];
    while let Some(at) = waiting.pop() {
        let Some(state) = states.get_mut(at) else { continue };
        if std::mem::replace(state, true) {
            continue;
        }
        match parts.get(at) {
            Some(Part::Split(other)) => waiting.extend([at + 1, *other]),
            Some(Part::Jump(to)) => waiting.push(*to),
            _ => {}
        }
    }
}

fn compile(pattern: &str) -> Vec<Part> {
    let chars: Vec<char> = pattern.chars().collect();
    let mut parts = Vec::new();
    let mut at = 0;
    // Where the part before begins, for `?` and `+`.
    let mut last = None;
    while let Some(&c) = chars.get(at) {
        at += 1;
        match c {
            '*' if chars.get(at) == Some(&'*') => {
                at += 1;
                let begins = at == 2 || chars.get(at - 3) == Some(&'/');
                let start = parts.len();
                if begins && chars.get(at) == Some(&'/') {
                    // `**/` is any number of folders, also none.
                    at += 1;
                    parts.extend([
                        Part::Split(start + 5),
                        Part::Split(start + 4),
                        Part::One(Fits::Any),
                        Part::Jump(start + 1),
                        Part::One(Fits::Is('/')),
                    ]);
                } else {
                    parts.extend([Part::Split(start + 3), Part::One(Fits::Any), Part::Jump(start)]);
                }
                last = None;
            }
            '*' => {
                let start = parts.len();
                parts.extend([Part::Split(start + 3), Part::One(Fits::NoSlash), Part::Jump(start)]);
                last = None;
            }
            '?' if last.is_some() => {
                // The part before may be missing: it moves one place on, behind a split.
                if let (Some(start), Some(part)) = (last.take(), parts.pop()) {
                    parts.extend([Part::Split(start + 2), part]);
                }
            }
            '+' if last.is_some() => {
                if let Some(start) = last.take() {
                    let again = parts.len();
                    parts.extend([Part::Split(again + 2), Part::Jump(start)]);
                }
            }
            '[' => match class(&chars, at) {
                Some((ranges, end)) => {
                    last = Some(parts.len());
                    parts.push(Part::One(Fits::In(ranges)));
                    at = end;
                }
                None => {
                    last = Some(parts.len());
                    parts.push(Part::One(Fits::Is('[')));
                }
            },
            c => {
                let c = match (c, chars.get(at)) {
                    ('\\', Some(&escaped)) => {
                        at += 1;
                        escaped
                    }
                    _ => c,
                };
                last = Some(parts.len());
                parts.push(Part::One(Fits::Is(c)));
            }
        }
    }
    parts
}

/// The ranges of a class whose first character stands at `at`, and where the pattern goes on.
fn class(chars: &[char], mut at: usize) -> Option<(Vec<(char, char)>, usize)> {
    let mut ranges = Vec::new();
    loop {
        let from = *chars.get(at)?;
        at += 1;
        match (from, chars.get(at), chars.get(at + 1)) {
            (']', _, _) => return (!ranges.is_empty()).then_some((ranges, at)),
            (from, Some('-'), Some(&to)) if to != ']' => {
                ranges.push((from, to));
                at += 2;
            }
            (from, _, _) => ranges.push((from, from)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    fn check(patterns: &[&str], yes: &[&str], no: &[&str]) {
        for name in yes {
            assert!(matches(patterns, name), "{patterns:?} should take {name:?}");
        }
        for name in no {
            assert!(!matches(patterns, name), "{patterns:?} should not take {name:?}");
        }
    }

    /// The rows of GitHub's cheat sheet.
    #[test]
    fn the_cheat_sheet() {
        check(&["feature/*"], &["feature/my-branch", "feature/your-branch"], &["feature/a/b", "feature"]);
        check(&["feature/**"], &["feature/beta-a/my-branch", "feature/your-branch"], &["other/x"]);
        check(&["main", "releases/mona-the-octocat"], &["main", "releases/mona-the-octocat"], &["mains"]);
        check(&["*"], &["main", "releases"], &["all/the/branches"]);
        check(&["**"], &["all/the/branches", "every/tag"], &[]);
        check(&["*feature"], &["mona-feature", "feature", "ver-10-feature"], &["feature-x"]);
        check(&["v2*"], &["v2", "v2.0", "v2.9"], &["v1"]);
        check(&["v[12].[0-9]+.[0-9]+"], &["v1.10.1", "v2.0.0"], &["v3.1.1", "v1..1"]);
        check(&["*.jsx?"], &["page.js", "page.jsx"], &["js/page.js", "page.jsxx"]);
        check(&["**.js"], &["index.js", "js/index.js", "src/js/app.js"], &["index.ts"]);
        check(&["docs/*"], &["docs/README.md"], &["docs/a/b.md"]);
        check(
            &["docs/**/*.md"],
            &["docs/README.md", "docs/mona/hello-world.md", "docs/a/markdown/file.md"],
            &[],
        );
        check(
            &["**/docs/**"],
            &["docs/hello.md", "dir/docs/my-file.txt", "space/docs/plan/space.doc"],
            &["doc/x"],
        );
        check(&["**/README.md"], &["README.md", "js/README.md"], &["XREADME.md"]);
        check(&["**/*src/**"], &["a/src/app.js", "my-src/code/js/app.js"], &["srcs"]);
        check(&["**/*-post.md"], &["my-post.md", "path/their-post.md"], &["post.md"]);
        check(&["**/migrate-*.sql"], &["migrate-10909.sql", "db/migrate-v1.0.sql"], &[]);
        check(&["**/*.md", "!README.md"], &["hello.md", "docs/hello.md"], &["README.md"]);
        check(&["**/*.md", "!README.md", "README*"], &["hello.md", "README.md", "README.doc"], &["a.txt"]);
    }

    #[test]
    fn odd_patterns_are_taken_as_they_are() {
        check(&["["], &["["], &["a"]);
        check(&["?"], &["?"], &["", "a"]);
        check(&[r"a\*b"], &["a*b"], &["axb"]);
        check(&["a+"], &["a", "aaa"], &["", "b"]);
        check(&["!a"], &[], &["a", "b"]);
        check(&["**********a"], &[&"a".repeat(2000)], &[&"b".repeat(2000)]);
    }
}
