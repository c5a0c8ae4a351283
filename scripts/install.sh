#!/bin/sh
# Installs the release build: binaries, unit, rules and example settings. Existing settings and
# rules are kept; new versions of them are put beside as *.new. Honours DESTDIR and PREFIX.
set -eu
cd "$(dirname "$0")/.."
prefix=${PREFIX:-/usr/local}
root=${DESTDIR:-}

install -D -m 0755 .build/release/tocsin "$root$prefix/bin/tocsin"
install -D -m 0644 deploy/tocsin.service "$root/etc/systemd/system/tocsin.service"
keep() { # keep SOURCE TARGET: never overwrite what an operator may have edited
    if [ -e "$2" ] && ! cmp -s "$1" "$2"; then
        install -m 0640 "$1" "$2.new"
        echo "kept $2; the new version is $2.new"
    else
        install -D -m 0644 "$1" "$2"
    fi
}
keep deploy/settings.yaml "$root/etc/tocsin/settings.yaml"
for file in rules/*.yaml; do keep "$file" "$root/etc/tocsin/rules/$(basename "$file")"; done
[ -n "$root" ] || systemctl daemon-reload 2>/dev/null || true
echo "installed. Edit /etc/tocsin/settings.yaml, then: systemctl enable --now tocsin"
