#!/bin/sh
# Builds the image from this directory. Needs a static busybox (Debian: busybox-static).
set -eu
cd "$(dirname "$0")"
program=$(command -v busybox) || { echo "busybox is not installed" >&2; exit 1; }
talk=$(mktemp)
trap 'rm -f busybox "$talk"' EXIT
cp "$program" busybox
if ! docker build --tag jobrunner-sample/greeter:1 . >"$talk" 2>&1; then
  cat "$talk" >&2
  exit 1
fi
echo "built jobrunner-sample/greeter:1"
