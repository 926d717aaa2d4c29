# What the tests of an installation share: settings, and a delivery that proves the road from the webhook to the API.

fail() { echo "FAILED: $*" >&2; exit 1; }

SECRET=a-secret-of-the-webhook TOKEN=a-token-for-the-api

# The settings of a server whose GitHub is not there: it must run and take deliveries all the same.
settings() { # FILE
    local key
    key=$(openssl genrsa 2048 2>/dev/null | awk '{printf "%s\\n", $0}')
    cat >"$1" <<X
GITHUB_WEBHOOK_SECRET=$SECRET
GITHUB_APP_ID=1
GITHUB_APP_NAME=cloud-code-test
GITHUB_PRIVATE_KEY=$key
GITHUB_URL=http://127.0.0.1:9
GITHUB_API_URL=http://127.0.0.1:9/api/v3
API_TOKENS=$TOKEN
X
}

# Waits until the command succeeds, at most a minute.
await() { # WHAT COMMAND…
    local what=$1 n
    shift
    for n in $(seq 240); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.25
    done
    fail "waited a minute for $what"
}

# Sends a signed delivery; prints the status.
deliver() { # URL ID
    local body='{"action":"created","repository":{"name":"shop","full_name":"acme/shop","owner":{"login":"acme"}}}' signature
    signature=$(printf %s "$body" | openssl dgst -sha256 -hmac "$SECRET" -r | cut -d' ' -f1)
    curl -s -o /dev/null -w '%{http_code}' -H 'content-type: application/json' -H 'x-github-event: star' -H "x-github-delivery: $2" \
        -H "x-hub-signature-256: sha256=$signature" -d "$body" "$1/webhooks/github/"
}

decided() { # URL ID
    curl -fsS -H "authorization: Bearer $TOKEN" "$1/api/v1/decisions" | grep -qF "\"$2\""
}

# One passed test, in the words that tests/run counts.
passed() { echo "test result: ok. $1 passed; 0 failed"; }
