"""Without any network the service starts and answers, and nothing in it even tries to get out.

The service and its client run in a network of their own that has a loopback and no route; the
kernel counts what is sent without one. The environment is the image's.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, TINY_PAIRS, running_service

CAN_UNSHARE = (
    subprocess.run(["unshare", "-rn", "ip", "link", "set", "lo", "up"], capture_output=True)
    if Path("/usr/bin/unshare").exists()
    else None
)


def image_environment() -> dict[str, str]:
    """The variables that the Dockerfile sets, but for where the model is."""
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    found = dict(re.findall(r"(\w+)=(\S+)", re.search(r"^ENV (.*)$", text, re.M)[1]))
    assert "HF_HUB_OFFLINE" in found
    return {name: value for name, value in found.items() if name != "MODEL_DIR"}


@pytest.mark.vllm
@pytest.mark.skipif(
    CAN_UNSHARE is None or CAN_UNSHARE.returncode != 0, reason="no network of one's own here"
)
def test_the_service_needs_no_network_and_asks_for_none(tiny_model: Path, tmp_path: Path) -> None:
    inside = (
        f"ip link set lo up && exec {sys.executable} -m tests.test_offline {tiny_model} {tmp_path}"
    )
    done = subprocess.run(
        ["unshare", "-rn", "bash", "-c", inside],
        cwd=ROOT,
        env={**os.environ, **image_environment()},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "sent without a route: 0" in done.stdout


def without_route() -> int:
    """Packets that this network's kernel could not send anywhere."""
    rows = [
        line.split()
        for line in Path("/proc/net/snmp").read_text("utf-8").splitlines()
        if line.startswith("Ip:")
    ]
    return int(dict(zip(*rows, strict=True))["OutNoRoutes"])


def main(model: str, folder: str) -> None:
    """Inside: start the service, ask, say what was sent."""
    before = without_route()
    with running_service(Path(folder), MODEL_DIR=model) as service:
        service.wait_until_ready()
        questions = list(TINY_PAIRS)
        reply = service.client.post("/predict", json={"prompt": questions}).json()
        assert reply == {"response": list(TINY_PAIRS.values())}
        assert service.client.get("/info").status_code == 200
    sys.stdout.write(f"sent without a route: {without_route() - before}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
