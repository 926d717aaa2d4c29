//! AWS's signature version 4, for the one object that the task role can reach.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::http::Headers;
use super::role::Role;

/// The headers that sign a request without a body.
pub(super) fn headers(
    method: &str,
    url: &str,
    region: &str,
    role: &Role,
    now: Timestamp,
) -> Result<Headers, String> {
    sign(method, url, region, role, now, &[])
}

fn sign(
    method: &str,
    url: &str,
    region: &str,
    role: &Role,
    now: Timestamp,
    more: &[(&str, &str)],
) -> Result<Headers, String> {
    let (host, path) = split(url).ok_or("the grant's address is no URL")?;
    let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let date = &time[..8];
    let empty = hex::encode(Sha256::digest(b""));
    let mut headers: Headers = vec![
        ("host".to_owned(), host.to_owned()),
        ("x-amz-content-sha256".to_owned(), empty.clone()),
        ("x-amz-date".to_owned(), time.clone()),
    ];
    headers.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    headers.extend(role.token.iter().map(|token| ("x-amz-security-token".to_owned(), token.clone())));
    headers.sort();
    let names = headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let request = format!("{method}\n{path}\n\n{lines}\n{names}\n{empty}");
    let scope = format!("{date}/{region}/s3/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex::encode(Sha256::digest(request)));
    let mut key = format!("AWS4{}", role.secret_access_key).into_bytes();
    for part in [date, region, "s3", "aws4_request"] {
        key = mac(&key, part)?;
    }
    let signature = hex::encode(mac(&key, &text)?);
    let credential = format!("{}/{scope}", role.access_key_id);
    // The client says the host by itself.
    headers.retain(|(name, _)| name != "host");
    headers.push((
        "authorization".to_owned(),
        format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"),
    ));
    Ok(headers)
}

/// Host and path. The names of our objects need no escapes.
fn split(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let at = rest.find('/')?;
    Some((&rest[..at], &rest[at..])).filter(|(host, path)| !host.is_empty() && !path.contains(['?', '#']))
}

fn mac(key: &[u8], text: &str) -> Result<Vec<u8>, String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|error| error.to_string())?;
    mac.update(text.as_bytes());
    Ok(mac.finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// "Example: GET Object" of the page above.
    #[test]
    fn aws_own_example() {
        let role = Role {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            token: None,
        };
        let url = "https://examplebucket.s3.amazonaws.com/test.txt";
        let now = "2013-05-24T00:00:00Z".parse().unwrap();
        let headers = sign("GET", url, "us-east-1", &role, now, &[("range", "bytes=0-9")]).unwrap();
        let (_, authorization) = headers.last().unwrap();
        let expected = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
        assert!(authorization.ends_with(&format!("Signature={expected}")), "{authorization}");
    }

    #[test]
    fn a_session_signs_its_token() {
        let role = Role {
            access_key_id: "A".to_owned(),
            secret_access_key: "s".to_owned(),
            token: Some("session".to_owned()),
        };
        let headers = headers("GET", "http://127.0.0.1:1/b/k", "x", &role, Timestamp::UNIX_EPOCH).unwrap();
        assert!(headers.contains(&("x-amz-security-token".to_owned(), "session".to_owned())));
        assert!(headers.last().unwrap().1.contains("x-amz-date;x-amz-security-token,"));
        for bad in ["", "ftp://h/k", "https://h", "https:///k", "https://h/k?a=b"] {
            assert!(super::headers("GET", bad, "x", &role, Timestamp::UNIX_EPOCH).is_err(), "{bad}");
        }
    }
}
