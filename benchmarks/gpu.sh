#!/usr/bin/env bash
# Every figure about a GPU: benchmarks/gpu.sh [--wheels DIR] --out DIR [...], see benchmarks/gpu.
# Wheels of what a machine without a network lacks are carried there in DIR, and stay beside what it
# has: they are installed into a folder of their own.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" = --wheels ]; then
  site=$(mktemp -d)
  trap 'rm -rf "$site"' EXIT
  python3 -m pip install -q --no-index --no-deps --no-compile --target "$site" "$2"/*.whl
  export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH}
  shift 2
fi
python3 -m benchmarks.gpu "$@"
