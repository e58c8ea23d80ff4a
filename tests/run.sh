#!/usr/bin/env bash
# Installs what the tests need, builds, and runs every test. Arguments go to `cargo test`.
set -euo pipefail
cd "$(dirname "$0")/.."
tests/setup.sh
exec cargo test --locked "$@"
