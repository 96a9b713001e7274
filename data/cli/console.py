"""What the commands share: output, progress bars, and errors told without a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from common.language import either
from common.pairs import PairsError
from data.books import BookError
from data.cache import CacheError
from data.sources import SourceError
from data.split import SplitLeakError

console = Console()
errors = Console(stderr=True)


def warn(text: str) -> None:
    """One warning on the error stream."""
    head = either("注意：", "warning: ")
    errors.print(f"[yellow]{head}[/]{escape(text)}", highlight=False, soft_wrap=True)


class ProgressBars:
    """Progress bars on the error stream, so that output can be piped; see data.context.Progress."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[told]}"),
            console=errors,
            transient=True,
        )
        self._task: Any = None

    def step(self, name: str, total: int | None = None) -> None:
        """A new bar in place of the last."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(name, total=total, told="")

    def advance(self, count: int = 1) -> None:
        """The bar moves on."""
        self._progress.advance(self._task, count)

    def tell(self, text: str) -> None:
        """A line at the end of the bar."""
        self._progress.update(self._task, told=text)

    def warn(self, text: str) -> None:
        """A warning above the bar."""
        warn(text)

    def __enter__(self) -> "ProgressBars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


@contextmanager
def reported_errors() -> Iterator[None]:
    """Known errors end the program with their message and exit code 1, Ctrl-C with 130."""
    try:
        yield
    except (
        BookError,
        CacheError,
        SourceError,
        SplitLeakError,
        PairsError,
        ValueError,
        OSError,
    ) as error:
        head = either("错误：", "error: ")
        errors.print(f"[red]{head}[/]{escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        errors.print(
            either(
                "已中断；做好的都留着：同一条命令会接着做",
                "interrupted; what was made so far is kept: the same command goes on from it",
            ),
            soft_wrap=True,
        )
        raise typer.Exit(130) from error
