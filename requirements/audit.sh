#!/usr/bin/env bash
# What the kit runs on, and what is known against it.
#
#   bash requirements/audit.sh           report/sbom*.json (CycloneDX) of .venv, and of .venv-train
#                                        and .venv-chat where they are, then known vulnerabilities (pip-audit)
#   bash requirements/audit.sh --sbom    only the first, which needs no network once .venv-audit is
#                                        there
#
# Exit codes: see requirements/known.py. There is no offline lookup: the only database that the
# package index carries, safety-db, ends in July 2021: too old to say anything about these versions.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -x .venv/bin/python ] || { echo "No .venv yet: bash run.sh makes it." >&2; exit 1; }
if [ ! -x .venv-audit/bin/pip-audit ]; then
  .venv/bin/python -m venv .venv-audit
  .venv-audit/bin/python -m pip install -q --disable-pip-version-check -r requirements/audit.txt
fi
mkdir -p report
sboms=()
for environment in .venv .venv-train .venv-chat; do
  [ -x $environment/bin/python ] || continue
  sbom=report/sbom${environment#.venv}.json
  .venv-audit/bin/cyclonedx-py environment $environment/bin/python --output-reproducible -o "$sbom"
  echo "$sbom: $(.venv/bin/python -c 'import json, sys; print(len(json.load(open(sys.argv[1]))["components"]))' "$sbom") components"
  sboms+=("$sbom")
done
[ "${1:-}" = --sbom ] || .venv/bin/python requirements/known.py .venv-audit/bin/pip-audit "${sboms[@]}"
