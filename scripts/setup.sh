#!/bin/sh
# Installs the Debian packages named as arguments, those that are missing, and says what it does.
set -eu

if ! command -v swift >/dev/null 2>&1; then
    echo "setup: no 'swift' on PATH. Install the toolchain, 6.2 or later, from https://www.swift.org/install/linux/" >&2
    exit 1
fi

missing=
for package in "$@"; do
    case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true) in
    *"ok installed") ;;
    *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "setup: this system has no apt-get; install the counterparts of:$missing" >&2
    exit 1
fi
sudo=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || {
        echo "setup: neither root nor sudo; ask an administrator for: apt-get install$missing" >&2
        exit 1
    }
    sudo=sudo
fi
echo "setup: installing$missing (apt-get${sudo:+, through sudo})"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The package list may be old or absent: fetch it once, only if the first try fails.
install() { $sudo apt-get install -y --no-install-recommends $missing >"$log" 2>&1; }
if ! install; then
    $sudo apt-get update >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
    install || { cat "$log" >&2; exit 1; }
fi
