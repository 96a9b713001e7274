"""What the image's ENTRYPOINT and CMD start: which server, on which address, for which module.

A shell script or a Python file that they name is read where the image has it.
"""

import posixpath
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.language import either
from preflight.dockerfile_reader import Stage, exec_form, fill
from preflight.lines import Line

EVERYWHERE = ("0.0.0.0", "::", "[::]", "")
SHELLS = ("sh", "bash", "dash")
_STARTS = re.compile(r"__main__|\brun\(|\bserve\(|serve_forever|\bmain\(")  # of a Python file
_SERVER = re.compile(r"\b(uvicorn|gunicorn|hypercorn|python3?|vllm)\b")


@dataclass(frozen=True)
class Server:
    """A server as it is started. port, host: None where that cannot be read; port "": the command
    starts none. module: uvicorn's, "" when it is none. line_ends: the script that has Windows's
    line ends, which no shell reads."""

    words: Sequence[str]
    port: str | None = None
    host: str | None = None
    workers: int = 1
    module: str = ""
    line_ends: str = ""


def started(stage: Stage) -> list[str]:
    """The words that the container starts. Raises DockerfileError."""
    entry, command = exec_form(stage.entrypoint), exec_form(stage.command)
    if stage.entrypoint and entry is None:
        return ["/bin/sh", "-c", stage.entrypoint]
    if command is None:
        command = ["/bin/sh", "-c", stage.command] if stage.command else []
    return [*(entry or []), *command]


def server_of(words: Sequence[str], stage: Stage, image: Path) -> Server:
    """The server among what is started, as far as it can be read. image: the image's root."""
    environment = {**stage.environment}
    line_ends = ""
    if len(words) > 2 and _name(words[0]) in SHELLS and words[1] == "-c":
        words = _last_server(words[2], environment)
    for _ in range(3):  # a script may start another
        script = _script(words, stage, image)
        if script is None:
            break
        text = script.read_bytes().decode("utf-8-sig", errors="replace")
        line_ends = line_ends or (script.name if "\r\n" in text else "")
        words = _last_server(text, environment)
    return _read(words, environment, stage, image, line_ends)


def serving_lines(
    words: Sequence[str], server: Server, image: Path, stage: Stage, port: str
) -> list[Line]:
    """Whether the judge reaches the server: port, address, module, and only one of it."""
    told = " ".join(words)
    lines = [_port(words, server, port, told)]

    def wrong(zh: str, en: str, figure: str, limit: str, why: str) -> None:
        lines.append(Line("repository", either(zh, en), "fail", figure, limit, "", why))

    if server.host is not None and server.host not in EVERYWHERE:
        why = either(
            "只听容器自己的地址，评测机连不上：加 --host 0.0.0.0",
            "listens inside the container only, where the judge cannot reach it: --host 0.0.0.0",
        )
        wrong("CMD 的地址", "host of CMD", server.host, "0.0.0.0", why)
    if server.workers > 1:
        why = either(
            "每个进程各装一遍模型，显存不够；vLLM 自己就能同时答很多题",
            "each process loads the model, and the memory is one's; vLLM answers many at once by "
            "itself",
        )
        wrong("CMD 的进程数", "workers of CMD", str(server.workers), "1", why)
    if server.line_ends:
        why = either(
            "Windows 的换行（CRLF），shell 读不了：转成 LF",
            "Windows's line ends (CRLF), which a shell does not read: save it with LF",
        )
        wrong("脚本的换行", "line ends of the script", server.line_ends, "LF", why)
    if server.module and not _module_there(server.module, stage, image):
        name = server.module.partition(":")[0]
        why = either(
            f"镜像的 {stage.workdir} 里没有 {name.replace('.', '/')}.py：没有 COPY？",
            f"no {name.replace('.', '/')}.py in the image's {stage.workdir}: was it copied?",
        )
        wrong("CMD 的模块", "module of CMD", server.module, "", why)
    return lines


def _port(words: Sequence[str], server: Server, port: str, told: str) -> Line:
    what = either("CMD 的端口", "port of CMD")
    if not words:
        why = either("没有 CMD：没有人启动服务", "no CMD: nothing starts the service")
        return Line("repository", what, "fail", either("没有写", "not named"), port, "", why)
    if server.port is None:
        why = either(
            f"CMD {told}：读不出它用哪个端口", f"CMD {told}: its port cannot be read from it"
        )
        return Line("repository", what, "unknown", either("没有写", "not named"), port, "", why)
    why = f"CMD {told}"
    if not server.port:
        why += either(
            "：这个文件只定义服务，不启动它：用 uvicorn 启动",
            ": that file defines a service and starts none: start it by uvicorn",
        )
    if "$" in server.port and _name(words[0]) not in SHELLS:
        why += either(
            "：写成列表时 Docker 不代入变量",
            ": Docker fills no variables into a command in list form",
        )
    state = "ok" if server.port == port else "fail"
    return Line("repository", what, state, server.port or either("没有", "none"), port, "", why)


def _read(
    words: Sequence[str], environment: Mapping[str, str], stage: Stage, image: Path, line_ends: str
) -> Server:
    names = [_name(word) for word in words]
    if "uvicorn" in names:
        rest = list(words[names.index("uvicorn") + 1 :])
        options = _options(rest)
        return Server(
            words,
            options.get("port") or environment.get("UVICORN_PORT") or "8000",
            options.get("host") or environment.get("UVICORN_HOST") or "127.0.0.1",
            _count(options.get("workers") or environment.get("WEB_CONCURRENCY")),
            "" if "app-dir" in options else next((w for w in rest if ":" in w and w[0] != "-"), ""),
            line_ends,
        )
    if "gunicorn" in names or "hypercorn" in names:
        options = _options(words)
        bound = options.get("bind") or options.get("b") or "127.0.0.1:8000"
        host, _, port = bound.rpartition(":")
        count = options.get("workers") or options.get("w") or environment.get("WEB_CONCURRENCY")
        return Server(words, port, host, _count(count), "", line_ends)
    file = next((word for word in words if word.endswith(".py")), None)
    path = _in_image(file, stage, image) if file else None
    if path and path.is_file():
        text = path.read_bytes().decode("utf-8", errors="replace")
        if call := re.search(r"(?:uvicorn|app)\.run\((.*?)\)\s*$", text, re.DOTALL | re.MULTILINE):
            host = re.search(r"host\s*=\s*[\"']([^\"']*)[\"']", call[1])
            port = re.search(r"port\s*=\s*(\d+)", call[1])
            named = "port" in call[1]
            default = "8000" if "uvicorn" in call[0] else "5000"
            return Server(
                words,
                port[1] if port else (None if named else default),
                host[1] if host else (None if "host" in call[1] else "127.0.0.1"),
                line_ends=line_ends,
            )
        if not _STARTS.search(text):
            return Server(words, "", line_ends=line_ends)
    options = _options(words)
    return Server(words, options.get("port"), options.get("host"), line_ends=line_ends)


def _options(words: Sequence[str]) -> dict[str, str]:
    """`--name value`, `--name=value` and `-n value` by name."""
    found = {}
    for word, following in zip(words, [*words[1:], ""], strict=False):
        if word.startswith("-"):
            name, equals, value = word.lstrip("-").partition("=")
            found[name] = value if equals else following
    return found


def _count(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 1


def _name(word: str) -> str:
    return posixpath.basename(word)


def _script(words: Sequence[str], stage: Stage, image: Path) -> Path | None:
    """The shell script that the words run, where the image has it."""
    named = [word for word in words if not word.startswith("-")]
    if named and _name(named[0]) in SHELLS:
        named = named[1:]
    if not named or not named[0].endswith((".sh", ".bash")):
        return None
    path = _in_image(named[0], stage, image)
    return path if path.is_file() else None


def _in_image(name: str, stage: Stage, image: Path) -> Path:
    return image / posixpath.join(stage.workdir, name).lstrip("/")


def _module_there(module: str, stage: Stage, image: Path) -> bool:
    path = _in_image(module.partition(":")[0].replace(".", "/"), stage, image)
    return path.with_name(path.name + ".py").is_file() or path.is_dir()


def _last_server(text: str, environment: dict[str, str]) -> list[str]:
    """The words of the last command in a shell text that names a server, else of the last one.
    Its assignments go into `environment`."""
    commands = []
    text = re.sub(r"\\\r?\n", " ", text)
    for line in re.split(r"[\n;]|&&", text):
        line = line.strip().rstrip("&").strip()
        if not line or line.startswith("#"):
            continue
        if assigned := re.fullmatch(r"(?:export\s+)?(\w+)=(\S*)", line):
            environment[assigned[1]] = fill(assigned[2].strip("\"'"), environment)
            continue
        commands.append(fill(line, environment))
    chosen = next((line for line in reversed(commands) if _SERVER.search(line)), None)
    chosen = chosen or (commands[-1] if commands else "")
    try:
        words = shlex.split(chosen)
    except ValueError:
        return chosen.split()
    while words and (words[0] == "exec" or re.match(r"\w+=", words[0])):
        words = words[1:]
    return words
