#!/usr/bin/env bash
# Invokes each function as Lambda would, in a container of its own with Lambda's runtime interface emulator, by `sam local`: against
# moto in place of AWS, with the events of infra/events. Then the HTTP API, by `sam local start-api`.
#
#   tests/aws/sam_local.sh PYTHON BUILD_DIR
#
#   PYTHON     a Python of a virtual environment with moto, aws-sam-cli and aws-sam-translator
#   BUILD_DIR  where `sam build` has left its template
#
# Needs Docker. Says for each function what it answered; the first that answers wrongly ends it.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$1 build=$2 sam=$(dirname "$1")/sam
export SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=eu-west-1 AWS_REGION=eu-west-1 AWS_ACCESS_KEY_ID=sam AWS_SECRET_ACCESS_KEY=local
stack=cloud-code work=$(mktemp -d)
fail() { echo "sam_local: $*" >&2; exit 1; }

# What `sam local` runs functions in. AWS's image can't be had everywhere; any Linux with certificates does, and sam brings the emulator.
# One that was pulled, or made before, is used as it is.
image=public.ecr.aws/lambda/provided:al2023
if ! docker run --rm --network none --entrypoint test "$image-x86_64" -s /etc/ssl/certs/ca-certificates.crt 2>/dev/null; then
    cp /etc/ssl/certs/ca-certificates.crt "$work/"
    printf 'FROM debian:bookworm-slim\nCOPY ca-certificates.crt /etc/ssl/certs/\n' >"$work/Dockerfile"
    docker build --quiet --no-cache --tag "$image-x86_64" --tag "$image" "$work" >/dev/null
    # What sam had made of another.
    docker rmi --force "${image%:*}:al2023-rapid-x86_64" >/dev/null 2>&1 || true
fi

coproc MOTO { exec "$python" tests/aws/moto_server.py 0.0.0.0 2>"$work/moto.log"; }
trap 'exec {MOTO[1]}>&- || true; [ -z "${api:-}" ] || kill "$api" 2>/dev/null || true; rm -rf "$work"' EXIT
read -r port <&"${MOTO[0]}"
here=http://127.0.0.1:$port

"$python" - "$here" "$stack" "$work/key.pem" "$build" <<'PY'
import json, subprocess, sys, urllib.request
import boto3
from samtranslator.yaml_helper import yaml_parse
here, stack, key, build = sys.argv[1:]
# sam sets only variables that the template names.
template = yaml_parse(open(build + "/template.yaml").read())
template["Globals"]["Function"]["Environment"]["Variables"]["AWS_ENDPOINT_URL"] = ""
json.dump(template, open(build + "/local.json", "w"))
subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
secrets = boto3.client("secretsmanager", endpoint_url=here)
secrets.create_secret(Name="cloud-code/webhook", SecretString=json.dumps({"GITHUB_WEBHOOK_SECRET": "webhook-secret-of-sam-local-4711"}))
secrets.create_secret(Name="cloud-code/config", SecretString=json.dumps({"GITHUB_PRIVATE_KEY": open(key).read(), "API_TOKENS": "token-of-sam-local-4711"}))
parameters = {"GitHubAppId": "1", "GitHubAppName": "cloud-code"}
request = {"template": "infra/template.yaml", "stack": stack, "parameters": parameters}
made = json.load(urllib.request.urlopen(urllib.request.Request(here + "/_test/deploy", json.dumps(request).encode())))
# As `sam local invoke --env-vars` has it: what the template gives each function, and where AWS is.
environment = {
    name: {key: str(value) for key, value in function["environment"].items()}
    | {"AWS_ENDPOINT_URL": here.replace("127.0.0.1", "host.docker.internal"), "GITHUB_URL": "http://127.0.0.1:9", "LOG": "warn"}
    for name, function in made["functions"].items()
}
json.dump(environment, open(key.replace("key.pem", "env.json"), "w"))
PY

invoke() { # FUNCTION EVENT WORDS…
    local function=$1 event=$2 answer began=$SECONDS word
    shift 2
    "$sam" local invoke "$function" --template "$build/local.json" --event "infra/events/$event.json" --env-vars "$work/env.json" \
        --skip-pull-image --add-host host.docker.internal:host-gateway >"$work/answer" 2>"$work/log" ||
        { tail -30 "$work/log" >&2; fail "$function could not be invoked"; }
    answer=$(tail -1 "$work/answer" | tr -d ' ')
    for word in "$@"; do
        grep -qF -- "$word" <<<"$answer" || { tail -30 "$work/log" >&2; fail "$function answered $answer, without $word"; }
    done
    echo "$function $event: ok, $((SECONDS - began)) s: ${answer:0:160}"
}

invoke Webhook webhook '"statusCode":202' 'duplicate\":false'
invoke Webhook webhook '"statusCode":202' 'duplicate\":true'
invoke Webhook webhook-unsigned '"statusCode":401'
# The delivery of the event is in line; this copy of it was never handed out by SQS, and GitHub is not there: it stays.
invoke Dispatcher dispatcher batchItemFailures
invoke Reporter reporter '"batchItemFailures":[]'
invoke Sweeper sweeper '"due":0'
invoke Console console '"statusCode":200'

"$sam" local start-api --template "$build/local.json" --env-vars "$work/env.json" --skip-pull-image --port 0 \
    --add-host host.docker.internal:host-gateway >"$work/api.log" 2>&1 &
api=$!
for _ in $(seq 240); do
    address=$(sed -n 's/.*Running on \(http:[^ ]*\).*/\1/p' "$work/api.log" | head -1)
    [ -z "$address" ] || break
    sleep 0.25
done
[ -n "${address:-}" ] || { cat "$work/api.log" >&2; fail 'start-api does not listen'; }
body=$("$python" -c 'import json; print(json.load(open("infra/events/webhook.json"))["body"], end="")')
signature=$("$python" -c 'import json; print(json.load(open("infra/events/webhook.json"))["headers"]["x-hub-signature-256"])')
status=$(curl -s -o "$work/answer" -w '%{http_code}' "$address/webhooks/github/" -H 'content-type: application/json' \
    -H "x-hub-signature-256: $signature" -H 'x-github-event: issues' -H 'x-github-delivery: by-start-api' --data-binary "$body")
[ "$status" = 202 ] || { tail -20 "$work/api.log" >&2; fail "start-api answered $status: $(cat "$work/answer")"; }
echo "start-api: ok: $(cat "$work/answer")"
status=$(curl -s -o /dev/null -w '%{http_code}' "$address/api/v1/runs")
[ "$status" = 401 ] || fail "start-api answered $status to a stranger"
echo 'start-api: a stranger is turned away'
