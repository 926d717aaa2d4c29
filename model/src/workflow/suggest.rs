//! The nearest right name for one that is wrong.

/// `; did you mean …?`, where one of the names is near, else nothing.
pub(super) fn hint<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    nearest(wrong, names).map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// The name that takes the fewest changes to get from `wrong`, where they are few enough to think of a slip.
pub(super) fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 64;
    // Of more names than that, nobody sees which was meant, and a file could ask for each of its names among all.
    const MOST_NAMES: usize = 512;
    let length = wrong.chars().count();
    if length == 0 || length > LONGEST {
        return None;
    }
    let most = match length {
        0..=3 => 1,
        4..=7 => 2,
        _ => 3,
    };
    let folded = fold(wrong);
    names
        .into_iter()
        .take(MOST_NAMES)
        .filter(|name| name.len().abs_diff(wrong.len()) <= most)
        .map(|name| (distance(&folded, &fold(name)), name))
        .filter(|&(changes, _)| changes <= most)
        .min_by_key(|&(changes, _)| changes)
        .map(|(_, name)| name)
}

/// Letters without case, `_` as `-`: the commonest slips cost nothing.
fn fold(name: &str) -> Vec<char> {
    name.chars().map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// Characters to insert, delete, replace, or swap with their neighbour.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, a) in from.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, b) in to.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&last, column) + usize::from(a != b))
                .min(at(&last, column + 1) + 1)
                .min(at(&next, column) + 1);
            let swapped =
                row > 0 && column > 0 && from.get(row - 1) == Some(b) && to.get(column - 1) == Some(a);
            if swapped {
                best = best.min(at(&before, column - 1) + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut last, next);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let names = ["runs-on", "run", "uses", "timeout-minutes", "needs"];
        for (wrong, expected) in [
            ("runn", Some("run")),
            ("RUN", Some("run")),
            ("runs_on", Some("runs-on")),
            ("need", Some("needs")),
            ("usse", Some("uses")),
            ("timeout-minuets", Some("timeout-minutes")),
            ("container", None),
            ("", None),
        ] {
            assert_eq!(nearest(wrong, names), expected, "{wrong}");
        }
    }
}
