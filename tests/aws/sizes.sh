#!/usr/bin/env bash
# Says how large each function is as a zip file, and fails where that is more than was promised: 8 MB, the webhook 4 MB.
#
#   tests/aws/sizes.sh BUILD_DIR        as `sam build` leaves it
set -euo pipefail
status=0
for function in Webhook Dispatcher Reporter Sweeper Console; do
    limit=8000000
    [ $function != Webhook ] || limit=4000000
    size=$(python3 - "$1/$function/bootstrap" <<'PY'
import io, sys, zipfile
zipped = io.BytesIO()
with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
    archive.write(sys.argv[1], "bootstrap")
print(len(zipped.getvalue()))
PY
    )
    printf '%-12s %5.2f MB zipped, at most %d MB\n' "$function" "$((size / 10000))e-2" $((limit / 1000000))
    [ "$size" -le $limit ] || status=1
done
exit $status
