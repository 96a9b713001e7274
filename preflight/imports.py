"""What the service imports of the commit and the image has not: it would end at its first line."""

import ast
from collections.abc import Iterator
from pathlib import Path

from common.language import either
from preflight.lines import Line


def import_lines(module: str, app: Path, commit: Path) -> list[Line]:
    """module: "serve:app", as uvicorn is told; app: the image's working directory; commit: all of
    the commit's files. Follows imports at module level through the image's own files."""
    lost: dict[str, str] = {}
    wanted, seen = [module.partition(":")[0]], set()
    while wanted:
        name = wanted.pop()
        file = _file(app, name)
        if name in seen or file is None:
            continue
        seen.add(name)
        try:
            tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError):  # the service's own start will say so
            continue
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        for imported in _imports(tree.body, package):
            wanted.append(imported)
            if _file(app, imported) is None and _file(commit, imported) is not None:
                lost.setdefault(imported, file.relative_to(app).as_posix())
    if not lost:
        return []
    names = list(lost)[:3]
    told = ", ".join(f"{name} ({lost[name]})" for name in names)
    told += " …" if len(lost) > len(names) else ""
    why = either(
        f"{told}：提交里有，镜像里没有，服务起不来：加 COPY，并在 .dockerignore 里放行",
        f"{told}: in the commit and not in the image, so the service does not start: COPY it, and "
        "let it in in .dockerignore",
    )
    figure = either(f"{len(lost)} 个模块没有", f"{len(lost)} modules missing")
    what = either("服务的 import", "imports of the service")
    return [Line("repository", what, "fail", figure, "0", "", why)]


def _file(root: Path, name: str) -> Path | None:
    """The file of a module: NAME.py, or the package's __init__.py."""
    path = root / name.replace(".", "/")
    for file in (path.with_name(path.name + ".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


def _imports(body: list[ast.stmt], package: str) -> Iterator[str]:
    """Modules imported at module level, but for those of type checkers and those in a `try`."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")
            above = above[: len(above) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{each.name}" for each in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.dump(node.test):
            yield from _imports([*node.body, *node.orelse], package)
        elif isinstance(node, (ast.With, ast.ClassDef)):
            yield from _imports(node.body, package)
