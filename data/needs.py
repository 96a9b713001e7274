"""What `python -m data` needs and the serving environment does not have: said in one line."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from common.language import either

REQUIREMENTS = Path(__file__).parents[1] / "requirements" / "data.txt"
COMMAND = "bash run.sh data --help"
# Packages whose module has another name.
_MODULES = {
    "markdown-it-py": "markdown_it",
    "mdit-py-plugins": "mdit_py_plugins",
    "pypandoc-binary": "pypandoc",
    "python-docx": "docx",
    "python-pptx": "pptx",
}


class MissingPackageError(ValueError):
    """A package is not installed; the message names it and the command that installs it."""


def missing_package(error: ModuleNotFoundError) -> str:
    """The one line for an import that failed."""
    return _line([str(error.name or error).split(".")[0]])


@contextmanager
def missing_named(room: str) -> Iterator[None]:
    """A package that any command of a room lacks ends it with one line, the command that installs
    it, and exit code 1."""
    try:
        yield
    except ModuleNotFoundError as error:
        name = str(error.name or error).split(".")[0]
        told = either(
            f"错误：缺少 {name}：用 `bash run.sh {room} …` 运行同一条命令，它会先装好",
            f"error: {name} is not installed: run the same command as `bash run.sh {room} …`, "
            "which installs it first",
        )
        print(told, file=sys.stderr)
        raise SystemExit(1) from error


def missing_pandoc() -> str:
    """The one line for a pypandoc that came without pandoc, as the package of that name does."""
    pinned = re.findall(r"(?m)^pypandoc-binary\S*", REQUIREMENTS.read_text(encoding="utf-8"))[0]
    # The two packages write into one folder: only anew does the second bring all of its files.
    command = f"python -m pip install --force-reinstall --no-deps {pinned}"
    return either(
        f"pypandoc 里没有 pandoc 程序：运行 `{command}`",
        f"pypandoc is there without pandoc itself: run `{command}`",
    )


def require_packages() -> None:
    """Raises MissingPackageError when a package of requirements/data.txt is not installed.

    Only looks for them, imports nothing: a build that lacks one must say so before it reads.
    """
    names = re.findall(r"^([A-Za-z0-9_.-]+)", REQUIREMENTS.read_text(encoding="utf-8"), re.M)
    modules = [_MODULES.get(name, name.replace("-", "_")) for name in names]
    if missing := [module for module in modules if find_spec(module) is None]:
        raise MissingPackageError(_line(missing))


def _line(modules: list[str]) -> str:
    names = ", ".join(modules)
    return either(
        f"缺少 {names}：先运行一次 `{COMMAND}`，它会装好 requirements/data.txt",
        f"{names} is not installed: run `{COMMAND}` once, it installs requirements/data.txt",
    )
