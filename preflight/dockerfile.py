"""The Dockerfile and what follows from it: image, files, command, model and settings."""

import math
import os
import re
import subprocess
import sys
from difflib import get_close_matches
from pathlib import Path

from dotenv import dotenv_values

from common.facts import FACTS
from common.language import either
from preflight.build_context import put_together
from preflight.checkout import Checkout
from preflight.dockerfile_reader import (
    Dockerfile,
    DockerfileError,
    decode_dockerfile,
    read_dockerfile,
)
from preflight.fetched_model import Fetch, fetch_lines, fetched
from preflight.imports import import_lines
from preflight.lines import Line
from preflight.served_by import server_of, serving_lines, started
from retrieval.passages import PASSAGES_NAME

# Prints the names of all settings.
_ASK = """import serving.settings as s; s.load_settings()
print(*getattr(getattr(s, "Settings", None), "model_fields", ()))"""
# Settings of the image that the budgets compute with.
NUMBERS = ("GPU_MEMORY_UTILIZATION", "HEALTH_BUDGET_S", "STARTUP_RESERVE_S", "ANSWER_DRAWS")


def dockerfile_lines(checkout: Checkout, image: Path) -> tuple[Dockerfile | None, list[Line]]:
    """The Dockerfile, None where Docker would refuse it, and all lines about it.

    Sets stage, image, fetch and environment of `checkout`, and puts the image's files together in
    `image`.
    """
    path = checkout.directory / "Dockerfile"
    if not path.is_file():
        return None, [_no_dockerfile(checkout)]
    try:
        read = read_dockerfile(decode_dockerfile(path.read_bytes()))
        words = started(read.stage)
    except DockerfileError as error:
        figure = either("读不懂", "cannot be read")
        return None, [Line("repository", "Dockerfile", "fail", figure, why=str(error))]
    stage = read.stage
    checkout.stage, checkout.image, checkout.fetch = stage, image, fetched(read)
    checkout.environment = dict(stage.environment)
    wanted, port = FACTS["base_image"]["name"], str(FACTS["judge"]["port"])
    only = either("评测机只运行这个基础镜像", "the judge's machine runs only this base")
    files = put_together(checkout.directory, list(checkout.files), stage, image)
    server = server_of(words, stage, image)
    return read, [
        _same(either("基础镜像", "base image"), stage.base, wanted, only),
        *files,
        *_ports(stage.ports, port),
        *serving_lines(words, server, image, stage, port),
        *import_lines(server.module, checkout.app, checkout.directory),
        *_buildkit(read),
        *fetch_lines(read, checkout.fetch),
        *_model_there(read, checkout),
        *_plugins(checkout),
        *_settings(checkout),
        *_index(checkout),
        *_gpus(checkout),
    ]


def _no_dockerfile(checkout: Checkout) -> Line:
    why = either("评测机要构建它", "the judge builds it")
    named = re.compile(r"(?:.*/)?dockerfile(?:\.(?!dockerignore|py)\w+)?", re.IGNORECASE)
    near = [name for name in checkout.files if named.fullmatch(name)]
    if near:
        found = ", ".join(near[:3])
        why += either(
            f"；要在仓库最上层，名字正好是 Dockerfile；这里有 {found}",
            f": at the top of the repository and named Dockerfile; there is {found}",
        )
    return Line("repository", "Dockerfile", "fail", either("没有", "missing"), why=why)


def _ports(ports: list[str], port: str) -> list[Line]:
    called = either("评测机访问这个端口", "the judge calls this port")
    figure = " ".join(ports) or either("没有", "none")
    state = "ok" if port in ports else "fail"
    margin = "" if state == "ok" else either("不同", "differs")
    return [Line("repository", "EXPOSE", state, figure, port, margin, called)]


def _buildkit(read: Dockerfile) -> list[Line]:
    if not read.buildkit:
        return []
    why = either(
        "只有 BuildKit 认识；评测机若用旧的构建器，整个 Dockerfile 都会被拒绝",
        "known to BuildKit only: an older builder would refuse the whole file",
    )
    figure = ", ".join(dict.fromkeys(read.buildkit))
    return [Line("repository", "BuildKit", "warn", figure, why=why)]


def _model_there(read: Dockerfile, checkout: Checkout) -> list[Line]:
    """Where no RUN is known to fetch a model: is one copied?"""
    if checkout.fetch.run or any(copy.of for copy in read.stage.copies):
        return []
    place = read.stage.environment.get("MODEL_DIR") or "model/served"
    if (checkout.in_image(place) / "config.json").is_file():
        checkout.fetch = Fetch()  # MODEL_ID, if it is there, fetches nothing
        why = either("模型在提交里，由 COPY 放进镜像", "the model is in the commit, and copied")
        return [Line("repository", either("模型", "model"), "note", place, why=why)]
    why = either(
        f"没有看到下载模型的 RUN，也没有 COPY 到 {place}：服务会找不到模型",
        f"no RUN here is known to fetch a model, and none is copied into {place}: the service "
        "would find none",
    )
    figure = either("没有看到", "none seen")
    return [Line("repository", either("模型", "model"), "warn", figure, why=why)]


def _index(checkout: Checkout) -> list[Line]:
    """An index that is committed and not in the image: the service would answer without it."""
    path = f"index/{PASSAGES_NAME}"
    if path not in checkout.files or any(checkout.image.rglob(PASSAGES_NAME)):
        return []
    why = either(
        "提交了索引，但镜像里没有：缺 COPY index/ index/，或被 .dockerignore 挡住",
        "an index is committed and not in the image: no COPY index/ index/, or .dockerignore",
    )
    what, figure = either(("教材的索引", "不在镜像里"), ("the book's index", "not in the image"))
    return [Line("repository", what, "warn", figure, why=why)]


def _settings(checkout: Checkout) -> list[Line]:
    """The image's settings, from its ENV and from serve.env, which `run.sh tune` writes: does the
    committed service accept them? What is no number is taken out of `checkout.environment`."""
    path = checkout.app / "serve.env"
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
    has_file = (checkout.app / "serve.env").is_file()
    if not has_file and not (checkout.app / "serving" / "settings.py").is_file():
        return []
    what = "serve.env" if has_file else either("设置", "settings")
    done = subprocess.run(
        [sys.executable, "-c", _ASK],
        cwd=checkout.app,
        env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": "", **image},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        # The traceback ends with "SomeError: " and the message, which may have several lines.
        why = done.stderr.rpartition("Error: ")[2] or done.stderr.strip()[-300:]
        return [Line("repository", what, "fail", _unusable(), why=" ".join(why.split()))]
    lines = _misspelt(image, done.stdout.upper().split())
    if not has_file:
        return lines
    names = ", ".join(f"{name}={value}" for name, value in told.items())
    cache = told.get("COMPILE_CACHE_DIR", "")
    if cache and not checkout.in_image(cache).exists():
        why = either(
            f"COMPILE_CACHE_DIR={cache} 没有提交，或没有 COPY：每次启动都要重新编译",
            f"COMPILE_CACHE_DIR={cache} is not committed or not copied: every start would compile "
            "again",
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
    return [*lines, Line("repository", "serve.env", "ok", figure, why=why)]


def _misspelt(image: dict[str, str], settings: list[str]) -> list[Line]:
    """Variables of the ENV that are no setting, but nearly one: the service passes over them."""
    lines = []
    for name in image.keys() - set(settings):
        if near := get_close_matches(name, settings, 1, 0.85):
            why = either(
                f"服务没有这个设置，它不起作用；是不是 {near[0]}？",
                f"no setting of the service, so nothing happens; did you mean {near[0]}?",
            )
            lines.append(Line("repository", name, "warn", image[name], why=why))
    return lines


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


def _plugins(checkout: Checkout) -> list[Line]:
    if "VLLM_PLUGINS" not in checkout.environment:
        return []
    why = either(
        "沐曦的 vLLM 靠插件找到：这个变量留给基础镜像",
        "MetaX's vLLM is found through plugins: leave this variable to the base image",
    )
    figure, limit = either(("Dockerfile 里设了", "不设"), ("set in the Dockerfile", "unset"))
    return [Line("repository", "VLLM_PLUGINS", "fail", figure, limit, "", why)]
