"""`serve.env`: the chosen settings, for serving/settings.py and the image."""

import os
from pathlib import Path

from serving.settings import SettingsError, load_settings

MARK = "# Written by `bash run.sh tune`"


def write(path: Path, settings: dict[str, str], notes: list[str]) -> None:
    """Write a settings file; `notes` become comments. No setting: the defaults hold.

    Raises SettingsError when the service would not take it; the file is then not there.
    """
    lines = [f"{MARK}; variables of the environment win over it.", *(f"# {n}" for n in notes)]
    if not settings:
        lines.append("# Nothing was faster than the defaults: they hold.")
    for name, value in settings.items():
        if "'" in value or "\n" in value:
            raise SettingsError(f"{name}: {value!r} cannot be written into a settings file")
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


def ours(path: Path) -> bool:
    """Whether a settings file may be replaced: there is none, or `write` wrote it."""
    return not path.exists() or path.read_text(encoding="utf-8").startswith(MARK)


def _check(path: Path, settings: dict[str, str]) -> None:
    # With nothing but the file, as in a bare image.
    kept = dict(os.environ)
    for name in {*settings, "SETTINGS_FILE"}:
        os.environ.pop(name, None)
    os.environ["SETTINGS_FILE"] = str(path)
    try:
        load_settings()
    finally:
        os.environ.clear()
        os.environ.update(kept)
