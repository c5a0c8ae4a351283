#!/usr/bin/env bash
# Runs the command in its arguments and repeats, after its output, what failed in it: a log of which
# only the end is kept still says which test it was, and where.
set -uo pipefail
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$@" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}
if [ "$status" -ne 0 ]; then
    printf '\nfailed with status %s:\n' "$status"
    grep -a -A 8 -E '^✘|Fatal error|error: ' "$log" | grep -a -v -E '^(◇|✔|--)' | tail -n 60
fi
exit "$status"
