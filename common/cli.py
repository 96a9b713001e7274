"""The kit's command lines: Typer, with help that Chinese can be read in."""

from collections.abc import Callable
from typing import Any, NoReturn

import typer


def make_app(**settings: Any) -> typer.Typer:
    """A Typer app. Its help is plain text: Rich's cuts what has no spaces, such as a Chinese
    sentence, at the edge of its table."""
    settings = {"add_completion": False, "pretty_exceptions_enable": False} | settings
    return typer.Typer(rich_markup_mode=None, **settings)


def stop(message: object, code: int = 2) -> NoReturn:
    """End the command with this exit code, and say why on standard error."""
    typer.secho(str(message), fg="red", err=True)
    raise typer.Exit(code)


def run_command(command: Callable[..., Any]) -> None:
    """Run a program that is one command, as typer.run does."""
    app = make_app()
    app.command()(command)
    app()
