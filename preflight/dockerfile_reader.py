"""What a Dockerfile's final stage says of the image: base, environment, ports and command.

Read by Docker's own rules (docs.docker.com/reference/dockerfile): continuation lines, comments,
heredocs, quoted values, ARG and ENV in later values, and stages that build on one another.
"""

import re
import shlex
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field

from common.language import either


class DockerfileError(ValueError):
    """Docker would refuse the file; the message names the instruction."""


@dataclass
class Stage:
    """One stage. base: the image it starts from. entrypoint and command as they are written."""

    base: str
    environment: dict[str, str] = field(default_factory=dict)
    ports: list[str] = field(default_factory=list)
    entrypoint: str = ""
    command: str = ""


def read_dockerfile(text: str) -> tuple[Stage, dict[str, str]]:
    """The final stage, and every ARG's default (of all stages: any may fetch the model).

    Raises DockerfileError.
    """
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    stage = None
    for word, rest in _instructions(text):
        known = {**arguments, **(stage.environment if stage else {})}
        if word == "FROM":
            image, *name = [_filled(w, known) for w in rest.split() if not w.startswith("--")]
            stage = deepcopy(stages.get(image.lower(), Stage(image)))
            if name:  # AS NAME
                stages[name[-1].lower()] = stage
        elif word == "ARG":
            for part in _words(word, rest):
                key, equals, value = part.partition("=")
                if equals or key not in arguments:
                    arguments[key] = _filled(value, known)
        elif stage is None:
            raise DockerfileError(
                either(
                    f"{word} {rest}：在第一个 FROM 之前",
                    f"{word} {rest}: comes before the first FROM",
                )
            )
        elif word == "ENV":
            stage.environment |= {k: _filled(v, known) for k, v in _pairs(rest)}
        elif word == "EXPOSE":
            stage.ports += [_filled(port, known).removesuffix("/tcp") for port in rest.split()]
        elif word == "ENTRYPOINT":
            stage.entrypoint = rest
        elif word == "CMD":
            stage.command = rest
    if stage is None:
        raise DockerfileError(either("没有 FROM", "there is no FROM"))
    return stage, arguments


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """(instruction in capitals, its arguments on one line)."""
    lines = iter(text.splitlines())
    whole = ""
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue  # also between the lines of one instruction
        whole += line
        if re.search(r"\\\s*$", line):
            whole = re.sub(r"\\\s*$", " ", whole)
            continue
        word, _, rest = whole.strip().partition(" ")
        whole = ""
        if word.upper() in ("RUN", "COPY", "ADD"):
            for end in re.findall(r"<<-?[\"']?(\w+)", rest):
                next((inner for inner in lines if inner.strip() == end), None)
        yield word.upper(), rest.strip()


def _words(word: str, rest: str) -> list[str]:
    try:
        return shlex.split(rest)
    except ValueError as error:
        raise DockerfileError(f"{word} {rest}: {error}") from error


def _pairs(rest: str) -> list[tuple[str, str]]:
    """ENV's two forms: `NAME=value …`, and the old `NAME value` whose value is all the rest."""
    name, _, value = rest.partition(" ")
    if "=" not in name:
        if not value:
            raise DockerfileError(
                either(f"ENV {rest}：应写成 名=值", f"ENV {rest}: expected NAME=value")
            )
        return [(name, value.strip())]
    pairs = [part.partition("=") for part in _words("ENV", rest)]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise DockerfileError(
            either(f"ENV {rest}：{wrong[0]!r} 没有值", f"ENV {rest}: {wrong[0]!r} has no value")
        )
    return [(name, value) for name, _, value in pairs]


def _filled(text: str, known: dict[str, str]) -> str:
    """`$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+other}` replaced."""

    def value(match: re.Match[str]) -> str:
        name, sign, other = match["name"] or match["braced"], match["sign"], match["other"]
        found = known.get(name, "")
        if sign == "-":
            return found or other
        return (other if found else "") if sign == "+" else found

    pattern = r"\$(?:(?P<name>\w+)|\{(?P<braced>\w+)(?::(?P<sign>[-+])(?P<other>[^}]*))?\})"
    return re.sub(pattern, value, text)
