"""The repository as the judge clones it: its size, secrets, Dockerfile and settings.

Everything is read from `git archive` of a commit: uncommitted files are not part of a clone.
"""

import math
import os
import re
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from dotenv import dotenv_values

from common.facts import FACTS, assumed, download_rate, download_seconds
from common.language import either
from common.units import amount
from preflight.dockerfile_reader import DockerfileError, read_dockerfile
from preflight.lines import Line, at_most

# Tokens by their published patterns. Scanners such as detect-secrets know most of them, but not
# ModelScope's, which every user of this kit has.
SECRETS = {
    "ModelScope token": r"\bms-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
    "Hugging Face token": r"\bhf_[A-Za-z0-9]{30,}\b",
    "OpenAI-style key": r"\bsk-[A-Za-z0-9_-]{24,}\b",
    "GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40,})\b",
    "GitLab or Gitee token": r"\bglpat-[A-Za-z0-9_-]{20}\b",
    "AWS key": r"\bAKIA[0-9A-Z]{16}\b",
    "private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----",
    "token or password in an assignment": (
        r"(?i)(?:token|secret|password|api_?key)[\"']?\s*[:=]\s*[\"']"
        r"(?=[^\"'\s]*[0-9])(?=[^\"'\s]*[A-Za-z])[A-Za-z0-9_+/=-]{20,}[\"']"
    ),
}
_SECRETS = {name: re.compile(pattern.encode()) for name, pattern in SECRETS.items()}
COMMITS_SCANNED = 20
# Settings of the image that the budgets compute with.
NUMBERS = ("GPU_MEMORY_UTILIZATION", "HEALTH_BUDGET_S", "STARTUP_RESERVE_S")


class RepositoryError(ValueError):
    """Not a git repository with a commit; the message says what to do."""


@dataclass
class Checkout:
    """A commit unpacked. commit: its full name. files: bytes by path. clone_bytes: of the whole
    history. arguments: the Dockerfile's ARG defaults. environment: its ENV, over the settings of
    serve.env."""

    directory: Path
    commit: str = ""
    files: dict[str, int] = field(default_factory=dict)
    clone_bytes: int = 0
    arguments: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def model_id(self) -> str:
        """What the Dockerfile fetches, "" where it names no MODEL_ID."""
        return self.arguments.get("MODEL_ID", "")

    @property
    def hub(self) -> str:
        """Its hub, as download_model.py calls it."""
        return self.arguments.get("MODEL_HUB", "modelscope")

    @property
    def revision(self) -> str:
        """Its tag, branch or commit on the hub."""
        return self.arguments.get("MODEL_REVISION", "master")


def git(repository: Path, *command: str) -> bytes:
    """Output of a git command. Raises RepositoryError with git's own message."""
    done = subprocess.run(["git", "-C", str(repository), *command], capture_output=True)
    if done.returncode:
        told = done.stderr.decode().strip()
        raise RepositoryError(told or either(f"git {command[0]} 失败", f"git {command[0]} failed"))
    return done.stdout


def unpack(repository: Path, commit: str, target: Path) -> Checkout:
    """`commit` of `repository`, as a clone would have it, into `target`."""
    name = git(repository, "rev-list", "-1", commit, "--").decode().strip()
    archive = git(repository, "archive", "--format=tar", name)
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        tar.extractall(target, filter="data")
    checkout = Checkout(target, name)
    for path in sorted(target.rglob("*")):
        if path.is_file() and not path.is_symlink():
            checkout.files[path.relative_to(target).as_posix()] = path.stat().st_size
    counted = dict(
        line.split(": ", 1) for line in git(repository, "count-objects", "-v").decode().splitlines()
    )
    checkout.clone_bytes = (int(counted["size"]) + int(counted["size-pack"])) * 1024
    return checkout


def repository_lines(repository: Path, commit: str, checkout: Checkout) -> list[Line]:
    """All lines about the repository; sets `arguments` and `environment` of `checkout`."""
    return [
        *_uncommitted(repository),
        *_sizes(checkout),
        _secrets(repository, commit, checkout),
        *_dockerfile(checkout),
    ]


def _uncommitted(repository: Path) -> list[Line]:
    changed = git(repository, "status", "--porcelain").decode().splitlines()
    if not changed:
        return []
    names = ", ".join(line[3:] for line in changed[:3])
    names += " …" if len(changed) > 3 else ""
    why = either(f"{names}：评测机克隆不到", f"{names}: not part of what the judge clones")
    what, count = either("未提交", "uncommitted"), len(changed)
    figure = either(f"{count} 个路径", f"{count} paths")
    return [Line("repository", what, "note", figure, why=why)]


def _sizes(checkout: Checkout) -> list[Line]:
    size, rate = amount(checkout.clone_bytes, "B"), download_rate()
    why = either(
        f"历史共 {size}，按 {rate}；限额是我们自己定的",
        f"{size} of history at {rate}; our own limit",
    )
    seconds = download_seconds(checkout.clone_bytes)
    largest = sorted(checkout.files.items(), key=lambda item: -item[1])[:3]
    told = ", ".join(f"{path} {amount(size, 'B')}" for path, size in largest)
    size = largest[0][1] if largest else 0
    return [
        at_most("repository", either("克隆", "clone"), seconds, assumed("clone_s"), "s", why),
        at_most(
            "repository",
            either("最大的文件", "largest file"),
            size,
            assumed("file_bytes"),
            "B",
            told,
        ),
    ]


def _secrets(repository: Path, commit: str, checkout: Checkout) -> Line:
    found = []
    for path in checkout.files:
        data = (checkout.directory / path).read_bytes()
        found += [
            either(f"{path}:{line} 里有 {name}", f"{name} in {path}:{line}")
            for name, line in _hits(data)
        ]
    # A secret that a later commit removed is still in the clone's history.
    scanned = f"-{COMMITS_SCANNED}"
    history = git(repository, "log", "-p", "-U0", scanned, "--format=commit %h%n%B", commit)
    for patch in re.split(rb"(?m)^(?=commit [0-9a-f]{7,}$)", history):
        head = patch[7:17].split(b"\n")[0].decode(errors="replace")
        found += [
            either(f"历史里的提交 {head} 有 {name}", f"{name} in the history, commit {head}")
            for name, _ in _hits(patch)
        ]
    why = "; ".join(dict.fromkeys(found[:6])) or either(
        f"看了文件和最近 {COMMITS_SCANNED} 次提交，{len(SECRETS)} 种样式",
        f"tree and the last {COMMITS_SCANNED} commits, {len(SECRETS)} patterns",
    )
    if found:
        why += either(
            "。现在就吊销它，再从历史里去掉", ". Revoke it now, then take it out of the history"
        )
    state = "fail" if found else "ok"
    figure = either(f"{len(found)} 处", f"{len(found)} found")
    return Line("repository", either("密钥", "secrets"), state, figure, "0", "", why)


def _hits(data: bytes) -> list[tuple[str, int]]:
    hits = []
    for name, pattern in _SECRETS.items():
        for match in pattern.finditer(data):
            hits.append((name, data.count(b"\n", 0, match.start()) + 1))
    return hits


def _dockerfile(checkout: Checkout) -> list[Line]:
    path = checkout.directory / "Dockerfile"
    if not path.is_file():
        why = either("评测机要构建它", "the judge builds it")
        return [Line("repository", "Dockerfile", "fail", either("没有", "missing"), why=why)]
    try:
        stage, checkout.arguments = read_dockerfile(path.read_text(encoding="utf-8"))
    except (DockerfileError, UnicodeDecodeError) as error:
        figure = either("读不懂", "cannot be read")
        return [Line("repository", "Dockerfile", "fail", figure, why=str(error))]
    checkout.environment = dict(stage.environment)
    wanted, port = FACTS["base_image"]["name"], str(FACTS["judge"]["port"])
    ports = " ".join(stage.ports) or either("没有", "none")
    only = either("评测机只运行这个基础镜像", "the judge's machine runs only this base")
    called = either("评测机访问这个端口", "the judge calls this port")
    return [
        _same(either("基础镜像", "base image"), stage.base, wanted, only),
        _same("EXPOSE", ports, port, called),
        _port_of_command(f"{stage.entrypoint} {stage.command}".strip(), port),
        *_plugins(checkout),
        *_settings(checkout),
        *_gpus(checkout),
    ]


def _settings(checkout: Checkout) -> list[Line]:
    """The image's settings, from its ENV and from serve.env, which `run.sh tune` writes: does the
    committed service accept them? What is no number is taken out of `checkout.environment`."""
    path = checkout.directory / "serve.env"
    told = {}
    if path.is_file():
        told = {k: v or "" for k, v in dotenv_values(path, interpolate=False).items()}
    image = checkout.environment
    checkout.environment = {**told, **image}
    wrong = [
        either(f"{name}={value}：不是数", f"{name}={value}: not a number")
        for name, value in checkout.environment.items()
        if name in NUMBERS and value and not _is_number(value)
    ]
    for line in wrong:
        del checkout.environment[line.partition("=")[0]]
    lines = _asked_of_the_service(checkout, told, image)
    if wrong and not any(line.state == "fail" for line in lines):
        why = "; ".join(wrong)
        lines.append(Line("repository", either("设置", "settings"), "fail", _unusable(), why=why))
    return lines


def _unusable() -> str:
    return either("不能用", "cannot be used")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _asked_of_the_service(
    checkout: Checkout, told: dict[str, str], image: dict[str, str]
) -> list[Line]:
    """What the committed serving/settings.py says of serve.env's settings (told) and the ENV."""
    has_file = (checkout.directory / "serve.env").is_file()
    if not has_file and not (checkout.directory / "serving" / "settings.py").is_file():
        return []
    what = "serve.env" if has_file else either("设置", "settings")
    done = subprocess.run(
        [sys.executable, "-c", "from serving.settings import load_settings; load_settings()"],
        cwd=checkout.directory,
        env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": "", **image},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        # The traceback ends with "SomeError: " and the message, which may have several lines.
        why = done.stderr.rpartition("Error: ")[2] or done.stderr.strip()[-300:]
        return [Line("repository", what, "fail", _unusable(), why=" ".join(why.split()))]
    if not has_file:
        return []
    names = ", ".join(f"{name}={value}" for name, value in told.items())
    cache = told.get("COMPILE_CACHE_DIR", "")
    if cache and not (checkout.directory / cache).exists():
        why = either(
            f"COMPILE_CACHE_DIR={cache} 没有提交：每次启动都要重新编译",
            f"COMPILE_CACHE_DIR={cache} is not committed: every start would compile again",
        )
        figure = either("里面的文件不存在", "names a missing file")
        return [Line("repository", "serve.env", "fail", figure, why=why)]
    over = [f"{name}={image[name]}" for name in told if name in image]
    wins = ", ".join(over)
    why = names
    if over:
        why += either(
            f"；以 Dockerfile 的 ENV 为准：{wins}", f"; the Dockerfile's ENV wins: {wins}"
        )
    figure = either(f"{len(told)} 项设置", f"{len(told)} settings")
    return [Line("repository", "serve.env", "ok", figure, why=why)]


def _gpus(checkout: Checkout) -> list[Line]:
    size = checkout.environment.get("TENSOR_PARALLEL_SIZE", "1")
    if size == "1":
        return []
    why = either(
        "TENSOR_PARALLEL_SIZE：GPU 少于它，vLLM 起不来",
        "TENSOR_PARALLEL_SIZE: vLLM does not start with fewer GPUs than that",
    )
    return [Line("repository", "GPUs", "fail", size, "1", "", why)]


def _same(what: str, figure: str, limit: str, why: str) -> Line:
    state = "ok" if figure == limit else "fail"
    margin = "" if state == "ok" else either("不同", "differs")
    names = (figure.rsplit("/", 1)[-1], limit.rsplit("/", 1)[-1])
    return Line("repository", what, state, *names, margin, why)


def _port_of_command(command: str, port: str) -> Line:
    found = re.search(r"--port[\"',= ]+(\d+)", command)
    figure = found.group(1) if found else either("没有写", "not named")
    state = "ok" if figure == port and "127.0.0.1" not in command else "fail"
    missing = either("没有 CMD：没有人启动服务", "no CMD: nothing starts the service")
    why = f"CMD {command}" if command else missing
    return Line("repository", either("CMD 的端口", "port of CMD"), state, figure, port, "", why)


def _plugins(checkout: Checkout) -> list[Line]:
    if "VLLM_PLUGINS" not in checkout.environment:
        return []
    why = either(
        "沐曦的 vLLM 靠插件找到：这个变量留给基础镜像",
        "MetaX's vLLM is found through plugins: leave this variable to the base image",
    )
    figure, limit = either(("Dockerfile 里设了", "不设"), ("set in the Dockerfile", "unset"))
    return [Line("repository", "VLLM_PLUGINS", "fail", figure, limit, "", why)]
