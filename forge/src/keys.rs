//! The app's key pair, and checking the JWTs that the app signs with it.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;

use crate::error::{ForgeError, Result};

/// GitHub takes no JWT that lives longer than this.
const MAX_LIFE_SECONDS: i64 = 600;
/// Clocks may differ by this much.
const LEEWAY_SECONDS: i64 = 60;

/// The app's key: the half that checks, and the half that signs where the forge made it.
#[derive(Clone)]
pub(crate) struct AppKey {
    pub(crate) verify: DecodingKey,
    pub(crate) private_pem: Option<String>,
}

impl AppKey {
    /// A fresh RSA key of 2,048 bits.
    pub(crate) fn generate() -> Result<Self> {
        let failed = |error: aws_lc_rs::error::Unspecified| ForgeError::Key(error.to_string());
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
        let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(failed)?;
        let verify = DecodingKey::from_rsa_der(pair.public_key().as_ref());
        Ok(Self { verify, private_pem: Some(pem("PRIVATE KEY", der.as_ref())) })
    }

    /// A public key in PEM.
    pub(crate) fn from_public_pem(text: &str) -> Result<Self> {
        let verify =
            DecodingKey::from_rsa_pem(text.as_bytes()).map_err(|error| ForgeError::Key(error.to_string()))?;
        Ok(Self { verify, private_pem: None })
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

#[derive(Deserialize)]
struct Claims {
    iss: Value,
    iat: Value,
    exp: Value,
}

/// Checks a JWT as GitHub does; the error is GitHub's own message.
pub(crate) fn verify_jwt(
    key: &AppKey,
    jwt: &str,
    app: u64,
    client: &str,
    now: i64,
) -> Result<(), &'static str> {
    let mut rules = Validation::new(Algorithm::RS256);
    // Times are checked below, by the forge's clock.
    rules.validate_exp = false;
    rules.required_spec_claims.clear();
    let Ok(decoded) = jsonwebtoken::decode::<Claims>(jwt, &key.verify, &rules) else {
        return Err("A JSON web token could not be decoded");
    };
    let claims = decoded.claims;
    let issuer = match &claims.iss {
        Value::String(text) => text == client || *text == app.to_string(),
        Value::Number(number) => number.as_u64() == Some(app),
        _ => false,
    };
    if !issuer {
        return Err("'Issuer' claim ('iss') must be the app's id or client id");
    }
    let Some(expires) = claims.exp.as_i64().filter(|expires| *expires > now - LEEWAY_SECONDS) else {
        return Err(
            "'Expiration time' claim ('exp') must be a numeric value representing the future time at which \
                    the assertion expires",
        );
    };
    if expires > now + MAX_LIFE_SECONDS + LEEWAY_SECONDS {
        return Err("'Expiration time' claim ('exp') is too far in the future");
    }
    match claims.iat.as_i64() {
        Some(issued)
            if issued <= now + LEEWAY_SECONDS && expires - issued <= MAX_LIFE_SECONDS + LEEWAY_SECONDS =>
        {
            Ok(())
        }
        Some(issued) if issued <= now + LEEWAY_SECONDS => {
            Err("'Expiration time' claim ('exp') is too far in the future")
        }
        _ => Err(
            "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
        ),
    }
}

/// The secret of an installation token: `ghs_` and 516 letters and digits, as long as GitHub's are since 2026.
pub(crate) fn token_secret() -> Result<String> {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = [0_u8; 516];
    aws_lc_rs::rand::fill(&mut random).map_err(|error| ForgeError::Key(error.to_string()))?;
    let text = random.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
    Ok("ghs_".chars().chain(text).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::json;

    use super::*;

    #[test]
    fn jwts_are_checked_as_github_checks_them() {
        let key = AppKey::generate().unwrap();
        let other = AppKey::generate().unwrap();
        let now = 1_900_000_000;
        let check = |signer: &AppKey, claims: Value, want: Option<&str>| {
            let pem = signer.private_pem.clone().unwrap();
            let encoding = EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
            let jwt = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &encoding).unwrap();
            let got = verify_jwt(&key, &jwt, 7, "Iv1.x", now).err();
            match want {
                None => assert_eq!(got, None, "{claims}"),
                Some(want) => assert!(got.is_some_and(|got| got.contains(want)), "{claims}: {got:?}"),
            }
        };
        check(&key, json!({ "iss": "7", "iat": now - 60, "exp": now + 540 }), None);
        check(&key, json!({ "iss": 7, "iat": now, "exp": now + 600 }), None);
        check(&key, json!({ "iss": "Iv1.x", "iat": now - 60, "exp": now + 60 }), None);
        check(&other, json!({ "iss": "7", "iat": now, "exp": now + 60 }), Some("could not be decoded"));
        check(&key, json!({ "iss": "8", "iat": now, "exp": now + 60 }), Some("'iss'"));
        check(
            &key,
            json!({ "iss": "7", "iat": now - 700, "exp": now - 100 }),
            Some("must be a numeric value"),
        );
        check(&key, json!({ "iss": "7", "iat": now, "exp": now + 900 }), Some("too far in the future"));
        check(&key, json!({ "iss": "7", "iat": now + 300, "exp": now + 400 }), Some("'iat'"));
    }
}
