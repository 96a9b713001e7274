"""Dress rehearsal: the committed code, its model, no network, and the judge with its real limits.

The preflight starts this module as a process of its own, in a network namespace that has only the
loopback, where the machine allows one:

python -m preflight.rehearsal IMAGE OUT.json TESTSET…
"""

import fcntl
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.facts import FACTS
from common.language import either
from common.service_process import ServiceError, ServiceProcess, running
from judging.conclusion import standing
from judging.judge import Conditions, Judgement, judge
from judging.protocol import HEALTH_LIMIT_S, PREDICT_LIMIT_S, ServiceNotReadyError
from judging.testset import read_testsets
from preflight.checkout import Checkout
from preflight.lines import Line, amount, at_most
from preflight.model import downloader
from preflight.served_by import started

AREA = "rehearsal"
MODES = ("batch", "serial")
JUDGES_PORT = int(FACTS["judge"]["port"])


def rehearse(checkout: Checkout, model: Path, testsets: Sequence[Path]) -> list[Line]:
    """The lines of a rehearsal in both modes, of what the image would have of the commit, with
    the model of a directory, and the Dockerfile's command with its ENV."""
    assert checkout.stage is not None
    environment = checkout.environment
    place = checkout.in_image(environment.get("MODEL_DIR") or "model/served")
    lines = [_place_model(downloader(checkout.directory), model, place)]
    if lines[0].state == "fail":
        return lines
    out = checkout.directory.parent / "rehearsal.json"
    cut = next((c for c in (["unshare", "-n"], ["unshare", "-rn"]) if _works([*c, "true"])), [])
    command = [*cut, sys.executable, "-m", "preflight.rehearsal", str(checkout.image), str(out)]
    told = {"cut": bool(cut), "environment": environment, "workdir": checkout.stage.workdir}
    told["command"] = started(checkout.stage)
    with running(
        [*command, *(str(path.resolve()) for path in testsets)],
        cwd=Path(__file__).parents[1],
        environment={**os.environ, "PREFLIGHT": json.dumps(told)},
    ) as rehearsal:
        rehearsal.process.wait()
        why = rehearsal.last_error()
    network = either(
        "断网：只有本机回环" if cut else "没有断网：这里不允许",
        "cut: a network namespace with the loopback only" if cut else "open: not allowed here",
    )
    lines.append(Line(AREA, either("网络", "network"), "ok" if cut else "note", network))
    if not out.is_file():
        figure = either("彩排没有给出结果就结束了", "the rehearsal ended without a result")
        return [*lines, Line(AREA, either("服务", "service"), "fail", figure, why=why)]
    return lines + [Line(**line) for line in json.loads(out.read_text(encoding="utf-8"))]


def _works(command: list[str]) -> bool:
    return (
        bool(shutil.which(command[0]))
        and not subprocess.run(command, capture_output=True).returncode
    )


def _place_model(script: Path, model: Path, place: Path) -> Line:
    """The Dockerfile's download step, from a directory of this machine."""
    command = [sys.executable, str(script), "--from", str(model.resolve()), "--out", str(place)]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=script.parent, capture_output=True, text=True)
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    state = "fail" if done.returncode else "ok"
    return Line(
        AREA, either("模型", "model"), state, amount(time.perf_counter() - start, "s"), why=last
    )


def _run(image: Path, testsets: Sequence[Path], told: dict[str, Any]) -> list[Line]:
    lines, environment = [], told["environment"]
    sets = read_testsets(testsets)
    for mode in MODES:
        with _service(image, mode, told) as service:
            try:
                # By the port: what GET / answers is for the judge's own code to say.
                waited = service.wait_until_ready(HEALTH_LIMIT_S, path=None)
                judgement = judge(service.url, sets, Conditions())
            except (ServiceError, ServiceNotReadyError) as error:
                what = str(error)
                if isinstance(error, ServiceError):
                    what = either(f"服务{error.reason}", f"the service {error.reason}")
                said, limit = service.last_error(), amount(HEALTH_LIMIT_S, "s")
                why = either(f"{what}；它的日志说：{said}", f"{what}; its log says: {said}")
                figure = either("没有就绪", "not ready")
                lines.append(Line(AREA, _health(mode), "fail", figure, limit, "", why))
                continue
        served = mode == (environment.get("SERVE_MODE") or MODES[0])
        lines += _lines(judgement, mode, waited, served)
    return lines


def _lines(judgement: Judgement, mode: str, waited: float, served: bool) -> Iterator[Line]:
    """waited: seconds until the port was open. served: whether the image serves this mode."""
    health = judgement.health
    seconds = waited + health.seconds
    here = either("在这里测得", "measured here")
    yield at_most(AREA, _health(mode), seconds, HEALTH_LIMIT_S, "s", here)
    if health.mode != mode:
        why = either(
            f"GET / 给出 {health.status!r}，评测机当作 {health.mode}",
            f"GET / said {health.status!r}, which the judge takes for {health.mode}",
        )
        yield Line(AREA, f"{mode}: status", "fail", health.mode, mode, "", why)
    demo = ""
    if _is_demo(judgement.info):
        demo = either("（演示模型：只说明流程）", " (demo model: shows the flow only)")
    if judgement.leaks:
        what = either("示例和索引", "worked examples and index")
        figure = either("含测试题", "hold test questions")
        yield Line(AREA, f"{mode}: {what}", "fail", figure, why="; ".join(judgement.leaks))
    for result in judgement.results:
        name, replies, scores = result.testset.name, result.replies, result.scores
        count = len(result.questions)
        why = either(f"{count} 题，{here}", f"{count} questions, {here}")
        yield at_most(AREA, f"{mode}: {name}", replies.total_seconds, PREDICT_LIMIT_S, "s", why)
        faults = ([replies.failure] if replies.failure else []) + replies.warnings
        state = "fail" if faults else "ok"
        figure = either(f"{count} 题 {count} 个回答", f"{count} answers for {count} questions")
        if faults:
            figure = either(f"{len(faults)} 处错误", f"{len(faults)} faults")
        what = either(f"{mode}: {name}，回复", f"{mode}: {name}, replies")
        yield Line(AREA, what, state, figure, "0", "", "; ".join(faults))
        speed = result.characters / replies.total_seconds if replies.total_seconds else 0.0
        figure = either(
            f"准确率 {scores.accuracy:.3f}，{speed:,.0f} 字符/秒",
            f"accuracy {scores.accuracy:.3f}, {speed:,.0f} characters/s",
        )
        stands = standing(scores)
        why = either(
            f"{stands.chinese}；上限 {scores.ceiling:.3f}；速度是这台机器的",
            f"{stands.english}; ceiling {scores.ceiling:.3f}; speed of this machine",
        )
        # One warning for a model, not one for each mode.
        below = served and not replies.failure and scores.accuracy < (scores.echo or 0.0)
        state = "warn" if below else "note"
        what = either(f"{mode}: {name}，得分", f"{mode}: {name}, score")
        yield Line(AREA, what, state, figure, "", "", why + demo)


def _health(mode: str) -> str:
    return either(f"{mode}: 启动", f"{mode}: health")


def _is_demo(info: Any) -> bool:
    manifest = info.get("manifest") or info.get("model") if isinstance(info, dict) else None
    return '"demo": true' in json.dumps(manifest)


@contextmanager
def _service(image: Path, mode: str, told: dict[str, Any]) -> Iterator[ServiceProcess]:
    """The Dockerfile's command with its ENV, stopped at the end. image: the root of its files."""
    with tempfile.TemporaryDirectory(prefix="preflight_caches_") as caches:
        # Where the image has its working directory (/app) and /tmp, this machine has other folders.
        here = image / told["workdir"].lstrip("/")
        places = {told["workdir"].rstrip("/"): str(here), "/tmp": caches}
        own = re.compile("^(" + "|".join(map(re.escape, places)) + ")(?=/|$)")

        def moved(text: str) -> str:
            return own.sub(lambda match: places[match[0]], text)

        environment = {name: moved(value) for name, value in told["environment"].items()}
        kept = {k: v for k, v in os.environ.items() if k not in ("HOME", "PREFLIGHT")}
        # A shell's `uvicorn` is the one beside this Python.
        beside = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        command = _command([moved(word) for word in told["command"]])
        fixed = not any("{port}" in word for word in command)  # it stands in a script
        with running(
            command,
            cwd=here,
            environment={**kept, **environment, **beside, "SERVE_MODE": mode},
            port=JUDGES_PORT if fixed else None,
            log=image.parent / f"service-{mode}.log",
        ) as service:
            yield service


def _command(words: Sequence[str]) -> list[str]:
    """What the container starts, on a port that is free here and with this Python's packages."""
    port = rf"(?<!\d){JUDGES_PORT}(?!\d)"
    here = [re.sub(port, "{port}", word) for word in words]
    if "uvicorn" in here and "{port}" not in " ".join(here) and here[0] != "/bin/sh":
        here += ["--port", "{port}"]  # its default is the judge's
    if here[0] in ("uvicorn", "gunicorn"):
        return [sys.executable, "-m", *here]
    if re.fullmatch(r"python3?", here[0]):
        return [sys.executable, *here[1:]]
    return here


def _raise_loopback() -> None:
    """What `ip link set lo up` does: SIOCSIFFLAGS with IFF_UP (Linux's netdevice(7))."""
    with socket.socket() as probe:
        fcntl.ioctl(probe, 0x8914, struct.pack("16sh14x", b"lo", 1))


def main() -> None:
    """The process inside the namespace."""
    told = json.loads(os.environ["PREFLIGHT"])
    if told["cut"]:
        _raise_loopback()
    image, out, *testsets = map(Path, sys.argv[1:])
    lines = _run(image, testsets, told)
    out.write_text(json.dumps([line.as_json() for line in lines]), encoding="utf-8")


if __name__ == "__main__":
    main()
