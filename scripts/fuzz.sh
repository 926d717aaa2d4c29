#!/usr/bin/env bash
# Fuzzes one target, led by coverage:
#
#   scripts/fuzz.sh TARGET [SECONDS]      TARGET: a name in fuzz/fuzz_targets; SECONDS: 60
#
# Needs a nightly compiler (`rustup toolchain install nightly`) and cargo-fuzz (`cargo install cargo-fuzz --locked`). What reaches new code is
# kept in fuzz/grown/TARGET and used by the next run; what breaks lies in fuzz/artifacts/TARGET: mend it, and add it to fuzz/corpus/TARGET,
# which the tests try each time.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:-} seconds=${2:-60}
if ! [ -f "fuzz/fuzz_targets/$target.rs" ]; then
    sed -n '2,9s/^# \{0,1\}//p' "$0"
    echo "targets: $(basename -s .rs fuzz/fuzz_targets/*.rs | xargs)"
    exit 2
fi
mkdir -p "fuzz/grown/$target"
# An input that takes 5 s, or 1 GB, breaks a promise as well.
exec cargo +nightly fuzz run "$target" "fuzz/grown/$target" "fuzz/corpus/$target" -- \
    -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -max_len=65536 -print_final_stats=1
