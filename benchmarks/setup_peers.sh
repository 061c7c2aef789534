#!/bin/sh
# What the suites `peers` and `server` compare with and use: GNU parallel, Redis, PostgreSQL, wrk and a
# virtual environment of its own with Celery, Huey, Procrastinate and FastAPI. On Debian, as root; else
# install the packages yourself.
#
#   benchmarks/setup_peers.sh
set -eu
base=${JOBRUNNER_BENCH_DIR:-${TMPDIR:-/tmp}/jobrunner-bench-$(id -u)}
mkdir -p "$base"

missing=
command -v gcc >/dev/null || missing="$missing gcc libc6-dev"
command -v parallel >/dev/null || missing="$missing parallel"
command -v wrk >/dev/null || missing="$missing wrk"
command -v redis-server >/dev/null || missing="$missing redis-server"
command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 ||
  missing="$missing postgresql"
if [ -n "$missing" ]; then
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
fi

if [ ! -x "$base/peers/bin/python" ]; then
  "${PYTHON:-python3}" -m venv "$base/peers"
fi
"$base/peers/bin/pip" install -q 'celery>=5.4' 'redis>=5' 'huey>=2.5' 'procrastinate>=3' 'psycopg[binary]' \
  'fastapi>=0.115' 'uvicorn[standard]>=0.34' 'sqlmodel>=0.0.24'
"$base/peers/bin/pip" freeze | grep -i -E '^(celery|redis|huey|procrastinate|psycopg|fastapi|uvicorn|sqlmodel)='
parallel --version | head -n 1
