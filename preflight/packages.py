"""requirements.txt on the judge's base image: would it replace torch, vLLM or Transformers there?

pip itself resolves it for the image's Python, with the image's versions as constraints, then
downloads the wheels and installs them into a scratch directory, which gives bytes and seconds.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

from common.facts import FACTS
from common.language import either
from preflight.lines import Line

NO_NETWORK = ("NewConnectionError", "Temporary failure", "Network is unreachable", "ProxyError")
# Every manylinux_2_N that the image's glibc can load.
GLIBC_MINORS = range(5, int(FACTS["base_image"]["glibc"].split(".")[1]) + 1)


def names_in(requirements: Path) -> dict[str, int]:
    """Line number of each distribution that the file names; names normalized as PyPI does."""
    found = {}
    for number, line in enumerate(requirements.read_text(encoding="utf-8").splitlines(), 1):
        match = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", line)
        if match:
            found[_normal(match.group(1))] = number
    return found


def package_lines(
    checkout: Path, scratch: Path, offline: bool
) -> tuple[list[Line], tuple[int, float] | None]:
    """Lines about requirements.txt, and (bytes of the wheels, seconds of installing them), None
    when they were not measured."""
    requirements = checkout / "requirements.txt"
    if not requirements.is_file():
        figure, why = either(("没有", "没有要装的"), ("none", "nothing to install"))
        line = Line("repository", "requirements.txt", "note", figure, why=why)
        return [line], (0, 0.0)
    untouchable = set(FACTS["base_image"]["untouchable"])
    named = {n: line for n, line in names_in(requirements).items() if n in untouchable}
    if named:
        told = ", ".join(
            either(f"{name}（第 {line} 行）", f"{name} (line {line})")
            for name, line in named.items()
        )
        why = either(f"requirements.txt 写了 {told}", f"requirements.txt names {told}")
        return [_replaced(why, len(named))], None
    if offline:
        figure, why = either(
            ("没有解析", "--offline：只看了文件里的名字，没有看它们会带来什么"),
            (
                "not resolved",
                "--offline: only the names in the file were looked at, not what they pull in",
            ),
        )
        return [Line("repository", "requirements.txt", "unknown", figure, why=why)], None
    problem, resolved, measured = _install(requirements, scratch)
    if problem and any(sign in problem for sign in NO_NETWORK):
        figure = either("pip 没有网络", "pip has no network")
        line = Line("repository", "requirements.txt", "unknown", figure, why=problem)
        return [line], None
    if problem:
        version = FACTS["base_image"]["python"]
        why = either(
            f"pip，按 Python {version}：{problem}", f"pip, for Python {version}: {problem}"
        )
        figure = either("装不上", "cannot be installed")
        return [Line("repository", "requirements.txt", "fail", figure, why=why)], None
    pulled = {name: version for name, version in resolved.items() if name in untouchable}
    if pulled:
        told = ", ".join(f"{name} {version}" for name, version in pulled.items())
        why = either(f"它要的包会带来 {told}", f"its requirements pull in {told}")
        return [_replaced(why, len(pulled))], measured
    version = FACTS["base_image"]["python"]
    why = either(f"按 Python {version} 解析：", f"resolved for Python {version}: ") + ", ".join(
        f"{name} {version}" for name, version in resolved.items()
    )
    figure = either("替换 0 个", "0 replaced")
    return [Line("repository", "requirements.txt", "ok", figure, "0", "", why)], measured


def _replaced(why: str, count: int) -> Line:
    why += either(
        "：镜像里为沐曦构建的会被换掉；请去掉它",
        ": the image's own, built for MetaX, would be replaced; take it out",
    )
    figure = either(f"替换 {count} 个", f"{count} replaced")
    return Line("repository", "requirements.txt", "fail", figure, "0", "", why)


def _install(
    requirements: Path, scratch: Path
) -> tuple[str | None, dict[str, str], tuple[int, float] | None]:
    """pip's error or None; versions by name; (bytes of wheels, seconds of installing them)."""
    wheels, target, constraints = scratch / "wheels", scratch / "site", scratch / "constraints.txt"
    constraints.write_text("\n".join(FACTS["base_image"]["constraints"]) + "\n")
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in GLIBC_MINORS] + ["manylinux2014_x86_64"]
    command = ["download", "-q", "-d", str(wheels), "-r", str(requirements), "-c", str(constraints)]
    command += ["--only-binary=:all:", "--python-version", FACTS["base_image"]["python"]]
    command += [word for platform in platforms for word in ("--platform", platform)]
    problem = _pip(*command)
    if problem:
        return problem, {}, None
    files = sorted(wheels.glob("*.whl"))
    resolved = {_normal(f.name.split("-")[0]): f.name.split("-")[1] for f in files}
    start = time.perf_counter()
    # --target and no compilation: the wheels are for the image's Python, which may not be this one.
    problem = _pip(
        "install", "-q", "--no-deps", "--no-index", "--no-compile", "--target", str(target),
        "--python-version", FACTS["base_image"]["python"], "--only-binary=:all:",
        *[word for platform in platforms for word in ("--platform", platform)], *map(str, files),
    )  # fmt: skip
    seconds = time.perf_counter() - start
    return problem, resolved, (sum(f.stat().st_size for f in files), seconds)


def _pip(*arguments: str) -> str | None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return None
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    lines = errors or done.stderr.strip().splitlines() or ["no message"]
    signs = [sign for sign in NO_NETWORK if sign in done.stderr]
    return " ".join([*signs, lines[-1]])


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
