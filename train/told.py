"""Errors that a user can mend as one message; what Ctrl-C says."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from common.language import either
from common.manifest import ManifestError
from common.model_shape import ShapeError
from common.pairs import PairsError
from judging.ability_task import TaskError
from judging.harness import HarnessError
from retrieval.search import IndexFileError
from train.base import ModelError
from train.dataset import DataError
from train.excluded import ExcludedError
from train.recipe_file import RecipeError
from train.steps import ExportError, console

EXIT_LOST = 6


def resume_hint() -> str:
    """What to add where a training was interrupted."""
    return either(
        "；同一条命令加上 --resume，从最后一个检查点（每轮一个）接着训练",
        "; the same command with --resume goes on from the last checkpoint (one an epoch)",
    )


@contextmanager
def told_errors(hint: str = "") -> Iterator[None]:
    """Errors that the user can mend become one message and exit code 1 (an export that lost score:
    EXIT_LOST); Ctrl-C gives 130."""
    try:
        yield
    except (
        RecipeError,
        PairsError,
        DataError,
        ExcludedError,
        ModelError,
        ShapeError,
        ManifestError,
        IndexFileError,
        TaskError,
        HarnessError,
    ) as error:
        told = either(f"错误：{error}", f"error: {error}")
        console.print(told, style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(EXIT_LOST if isinstance(error, ExportError) else 1) from error
    except KeyboardInterrupt as error:
        told = either("已中断", "interrupted") + hint
        console.print(told, markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(130) from error
