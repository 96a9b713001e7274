#!/usr/bin/env bash
# The tests, on a fresh machine too: environment, lint, then pytest with the arguments given.
#
#   bash test.sh                  everything that runs in minutes
#   bash test.sh -m slow          the slow ones
#   bash test.sh tests/test_app.py -k batch
set -euo pipefail
cd "$(dirname "$0")"
source requirements/install.sh
prepare_environment data dev
say "lint"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
say "tests"
exec .venv/bin/python -m pytest "$@"
