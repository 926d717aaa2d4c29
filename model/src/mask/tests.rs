//! Tables of encodings, and properties of the stream.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use proptest::prelude::*;

fn masker(secrets: &[&str]) -> Masker {
    Masker::new(secrets.iter().map(|secret| (*secret).to_owned()))
}

#[test]
fn every_encoding_is_masked() {
    let secret = "p&ss\"w<rd>'ö\\1 x";
    let masker = masker(&[secret]);
    let check = |text: &str, expected: &str| assert_eq!(masker.mask_str(text), expected, "{text}");
    check(&format!("a {secret} b"), "a *** b");
    check(r#"{"a":"p&ss\"w<rd>'ö\\1 x"}"#, r#"{"a":"***"}"#);
    check(r#"{"a":"p&ss\"w<rd>'\u00f6\\1 x"}"#, r#"{"a":"***"}"#);
    check("?a=p%26ss%22w%3Crd%3E%27%C3%B6%5C1%20x&b", "?a=***&b");
    check("?a=p%26ss%22w%3Crd%3E%27%C3%B6%5C1+x&b", "?a=***&b");
    check("<p&amp;ss&quot;w&lt;rd&gt;&#39;ö\\1 x>", "<***>");
    check("'p&ss\"w<rd>''ö\\1 x'", "'***'");
    check("p&ss\\\"w<rd>'ö\\1 x", "***");
    check("nothing to see", "nothing to see");
}

#[test]
fn base64_is_masked_at_each_offset() {
    use base64::Engine;
    let secret = "swordfish-1234";
    let masker = masker(&[secret]);
    for before in ["", "a", "ab", "abc"] {
        for after in ["", "x", "xy", "xyz"] {
            let text = format!("{before}{secret}{after}");
            for engine in [base64::prelude::BASE64_STANDARD, base64::prelude::BASE64_URL_SAFE] {
                let encoded = engine.encode(&text);
                let masked = masker.mask_str(&encoded);
                assert!(masked.contains(REPLACEMENT), "{text}: {masked}");
                // What is left stands for the neighbours and at most two bits pieces of the secret's ends.
                assert!(
                    masked.len() <= before.len().div_ceil(3) * 4 + after.len().div_ceil(3) * 4 + 4 + 4,
                    "{masked}"
                );
            }
        }
    }
}

#[test]
fn lines_quotes_and_short_ones() {
    let check = |secret: &str, text: &str, expected: &str| {
        assert_eq!(masker(&[secret]).mask_str(text), expected, "{secret}");
    };
    check("first line\n  second line\n", "a\n  second line\r\nfirst line", "a\n  ***\r\n***");
    check("first line\nsecond line", "first line\nsecond line", "***");
    check("\"quoted value\"", "quoted value", "***");
    check("  padded\n", "[padded]", "[***]");
    check("abc", "abc", "abc");
    check("****", "a ****", "a ****");
    check("", "a", "a");
    check("aaaa", &"a".repeat(100), "***");
    check("secret", "secretsecret", "******");
}

#[test]
fn pieces_as_powershell_prints_them() {
    let check = |secret: &str, text: &str, expected: &str| {
        assert_eq!(masker(&[secret]).mask_str(text), expected, "{secret}: {text}");
    };
    let plain = "secretpart1&secretpart2&secretpart3";
    check(plain, "\u{1b}[36msecretpart1&secretpart2&\u{1b}[0m", "\u{1b}[36m***\u{1b}[0m");
    check(plain, "| secretpart3", "| ***");
    check("secretpart1&+secretpart2&secretpart3", "secretpart1&+ s ecretpart2&secretpart3", "*** s ***");
    // Short pieces would shred every text.
    check("ab&cd&efgh", "ab&cd& efgh ab&cd&efgh", "*** efgh ***");
    check("&&&&", "a && b", "a && b");
    check("ä&+ö", "ä&+ ö", "ä&+ ö");
}

#[test]
fn overlapping_secrets_leave_no_half() {
    let masker = masker(&["abcdef", "defghi", "bcde"]);
    assert_eq!(masker.mask_str("-abcdefghi-"), "-***-");
    assert_eq!(masker.mask_str("-abcdeghi-"), "-a***ghi-");
    assert_eq!(masker.and("ghi-".to_owned()).mask_str("-abcdefghi--"), "-***-");
}

#[test]
fn a_stream_gives_out_at_once_what_cannot_be_a_secret() {
    let mut stream = masker(&["secret"]).stream();
    assert_eq!(stream.push(b"progress 10%"), b"progress 10%");
    assert_eq!(stream.push(b" sec"), b" ");
    assert_eq!(stream.push(b"tion"), b"section");
    assert_eq!(stream.push(b" secre"), b" ");
    assert_eq!(stream.finish(), b"secre");
    assert_eq!(stream.push(b"t secret."), b"t ***.");
}

#[test]
fn an_endless_overlap_is_not_held() {
    let mut stream = masker(&["aaaa"]).stream();
    for _ in 0..1000 {
        stream.push(&[b'a'; 1000]);
        assert!(stream.held.len() < 8);
    }
    assert_eq!(stream.push(b"b"), b"b");
}

#[test]
fn a_debugged_masker_shows_no_secret() {
    assert_eq!(format!("{:?}", masker(&["swordfish"])), "Masker { secrets: 1, .. }");
}

/// The definition, slowly: every byte of every occurrence is covered, each covered stretch becomes one replacement.
fn naive(patterns: &[Vec<u8>], text: &[u8]) -> Vec<u8> {
    let mut regions: Vec<(usize, usize)> = Vec::new();
    for pattern in patterns {
        let found = text.windows(pattern.len()).enumerate().filter(|(_, window)| window == pattern);
        regions.extend(found.map(|(at, _)| (at, at + pattern.len())));
    }
    regions.sort_unstable();
    let mut merged: Vec<(usize, usize)> = Vec::new();
    for (from, to) in regions {
        match merged.last_mut() {
            Some(last) if last.1 > from => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    let mut out = Vec::new();
    let mut at = 0;
    for (from, to) in merged {
        out.extend_from_slice(&text[at..from]);
        out.extend_from_slice(REPLACEMENT.as_bytes());
        at = to;
    }
    out.extend_from_slice(&text[at..]);
    out
}

proptest! {
    #[test]
    fn any_split_gives_the_same_answer(
        secrets in prop::collection::vec("[ab]{4,8}|[a-c\"]{4,6}", 0..5),
        text in prop::collection::vec(prop_oneof![4 => Just(b'a'), 4 => Just(b'b'), 1 => Just(b'c'), 1 => any::<u8>()], 0..200),
        cuts in prop::collection::vec(0usize..200, 0..12),
    ) {
        let masker = Masker::new(secrets.clone());
        let mut patterns: Vec<Vec<u8>> = secrets.iter().flat_map(|secret| encodings::of(secret)).collect();
        patterns.sort();
        patterns.dedup();
        let expected = naive(&patterns, &text);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let mut stream = masker.stream();
        let mut masked = Vec::new();
        for pair in cuts.windows(2) {
            masked.extend(stream.push(&text[pair[0]..pair[1]]));
        }
        masked.extend(stream.finish());
        prop_assert_eq!(&masked, &expected);
        for secret in &secrets {
            prop_assert!(!masked.windows(secret.len()).any(|window| window == secret.as_bytes()));
        }
    }

    #[test]
    fn text_stays_text(secrets in prop::collection::vec("\\PC{4,8}", 0..4), parts in prop::collection::vec("\\PC{0,9}", 0..6)) {
        let masker = Masker::new(secrets.clone());
        let text: String = parts.iter().zip(secrets.iter().cycle()).map(|(part, secret)| format!("{part}{secret}")).collect();
        let masked = masker.mask_str(&text);
        let replaced = char::REPLACEMENT_CHARACTER;
        prop_assert!(!masked.contains(replaced) || text.contains(replaced));
        for secret in secrets.iter().filter(|secret| !secret.contains('*')) {
            prop_assert!(!masked.contains(secret.as_str()));
        }
    }
}
