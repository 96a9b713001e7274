#!/usr/bin/env bash
# What the service is made of, and what is known against it.
#
#   bash requirements/audit.sh                 report/sbom.json (CycloneDX), without network once
#                                              .venv-audit is there
#   bash requirements/audit.sh --known         also asks a vulnerability service about each package
#                                              (pip-audit; needs network: there is no database that
#                                              it reads offline)
set -euo pipefail
cd "$(dirname "$0")/.."
[ -x .venv/bin/python ] || { echo "No .venv yet: bash run.sh makes it." >&2; exit 1; }
if [ ! -x .venv-audit/bin/pip-audit ]; then
  .venv/bin/python -m venv .venv-audit
  .venv-audit/bin/python -m pip install -q --disable-pip-version-check -r requirements/audit.txt
fi
mkdir -p report
.venv-audit/bin/cyclonedx-py environment .venv/bin/python --output-reproducible -o report/sbom.json
echo "report/sbom.json: $(.venv/bin/python -c 'import json; print(len(json.load(open("report/sbom.json"))["components"]))') components"
if [ "${1:-}" = --known ]; then
  .venv-audit/bin/pip-audit --requirement requirements/cpu.txt --no-deps --disable-pip
fi
