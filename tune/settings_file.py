"""`serve.env`: the selected settings, read by serving/settings.py, in the image too."""

import os
from pathlib import Path

from dotenv import dotenv_values

from common.language import either
from serving.settings import Settings, SettingsError, load_settings

MARK = "# Written by `bash run.sh tune`"


def write(path: Path, settings: dict[str, str], notes: list[str]) -> None:
    """Write a settings file, with `notes` as comments.

    Raises SettingsError when the service would refuse it; the file at `path` is then unchanged.
    """
    lines = [f"{MARK}; variables of the environment win over it.", *(f"# {n}" for n in notes)]
    for name, value in settings.items():
        if "'" in value or "\n" in value:
            raise SettingsError(
                either(
                    f"{name}：{value!r} 不能写进配置文件",
                    f"{name}: {value!r} cannot be written into a settings file",
                )
            )
        plain = all(c.isalnum() or c in "._-" for c in value)
        lines.append(f"{name}={value}" if plain else f"{name}='{value}'")
    fresh = path.with_suffix(".tmp")
    fresh.write_text("\n".join(lines) + "\n", encoding="utf-8")
    try:
        _check(fresh, settings)
    except SettingsError:
        fresh.unlink()
        raise
    fresh.replace(path)


def read(path: Path) -> dict[str, str]:
    """The settings of a file that `write` wrote; none without one."""
    if not path.is_file() or not may_replace(path):
        return {}
    return {name: value or "" for name, value in dotenv_values(path).items()}


def in_image(examples: str) -> bool:
    """Whether what RETRIEVAL_EXAMPLES names is in the image: of files, only those in index/ and the
    kit's own are (.dockerignore)."""
    choice = Settings(settings_file="", retrieval_examples=examples).retrieval_examples
    if not isinstance(choice, Path):
        return True
    place = Path(os.path.normpath(choice))
    return place.parts[0] == "index" or place == Path("retrieval/examples.jsonl")


def may_replace(path: Path) -> bool:
    """Whether there is no file at `path`, or one that `write` wrote."""
    return not path.exists() or path.read_text(encoding="utf-8").startswith(MARK)


def _check(path: Path, settings: dict[str, str]) -> None:
    # Without the variables of this shell, which would win over the file; the image has none.
    kept = dict(os.environ)
    for name in {*settings, "SETTINGS_FILE"}:
        os.environ.pop(name, None)
    os.environ["SETTINGS_FILE"] = str(path)
    try:
        load_settings()
    finally:
        os.environ.clear()
        os.environ.update(kept)
