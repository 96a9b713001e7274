"""The kit's command lines: Typer, with help and usage errors that Chinese can be read in."""

import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import typer

from common.language import either, language

UsageError = typer.BadParameter.__bases__[0]  # Typer's own, or click's where Typer stands on it
_show_english = UsageError.show
# The modules that run.sh runs; a path's others (bench.load) it does not.
_ROOM = r"^python -m (?:preflight\.)?(\w+)(?![\w.])"
# One after the other: a value's fault (pydantic's words) stands within the option's (click's).
_CHINESE = (
    (r"No such option: (\S+)", r"没有选项 \1"),
    (r"No such command ('.*?')\.?", r"没有命令 \1"),
    (r" ?(?:\(Possible options: (.+)\)|Did you mean (?:one of: )?(.+)\?)$", r"，是不是 \1\2？"),
    (r"Missing argument ('.+?')\.", r"缺少参数 \1"),
    (r"Missing option ('.+?')\.", r"缺少选项 \1"),
    (r"Missing command\.", "缺少命令"),
    (r"Option ('.+') requires an argument\.", r"选项 \1 后面要写值"),
    (r"Option ('.+') does not take a value\.", r"选项 \1 后面不能写值"),
    (r"Got unexpected extra arguments?(?:\(s\))? \((.+)\)", r"多出来的参数：\1"),
    (r"Invalid value for (.+?): ", r"\1 的值不对："),
    (r"Invalid value: ", "值不对："),
    (r"Value error, ", ""),
    (r"('.*') is not one of (.+?)\.?$", r"\1 不在 \2 之中"),
    (r"(?:Input should be|.* is not) a valid integer\b.*", "要写整数"),
    (r"(?:Input should be|.* is not) a valid (?:number|float)\b.*", "要写数"),
    (r"(?:Input should be|.* is not) a valid boolean\b.*", "要写 true 或 false"),
    (r"Input should be less than or equal to (.+)", r"最大 \1"),
    (r"Input should be greater than or equal to (.+)", r"最小 \1"),
    (r"(\S+) is not in the range (.+?)\.?$", r"\1 不在范围 \2 内"),
    (r"(?:[Ff]ile|[Dd]irectory|[Pp]ath) ('.+') does not exist\.", r"\1 不存在"),
)


def make_app(**settings: Any) -> typer.Typer:
    """A Typer app. Its help is plain text: Rich's cuts what has no spaces, such as a Chinese
    sentence, at the edge of its table."""
    settings = {"add_completion": False, "pretty_exceptions_enable": False} | settings
    return typer.Typer(rich_markup_mode=None, **settings)


def option(zh: str, en: str, *names: str, **rules: Any) -> Any:
    """An option whose help is told in both languages; names and rules: typer.Option's."""
    return typer.Option(*names, help=either(zh, en), **rules)


def argument(zh: str, en: str, **rules: Any) -> Any:
    """An argument, likewise."""
    return typer.Argument(help=either(zh, en), **rules)


def usage_in_chinese(message: str) -> str:
    """What Typer says of wrong options, in Chinese; words that are not known stay as they are.

    >>> usage_in_chinese("No such option: --oot (Possible options: --out)")
    '没有选项 --oot，是不是 --out？'
    """
    for english, chinese in _CHINESE:
        message = re.sub(english, chinese, message)
    return message


def odd_dash(word: str) -> bool:
    """Whether a word of the command line begins with a dash that an input method made of --."""
    return word.startswith(("—", "–", "－"))


def _show(error: Any, file: Any = None) -> None:
    dashes = [word for word in sys.argv[1:] if odd_dash(word)]
    if language() == "en":
        _show_english(error, file)
        for word in dashes:
            typer.echo(f"{word}: an option begins with --, not with {word[0]}", file=file, err=True)
        return
    told = error.format_message()
    lines = [f"用法不对：{usage_in_chinese(told)}", f"原文：{told}"]
    lines += [f"{word}：选项以两个英文减号（--）开头，不是 {word[0]}" for word in dashes]
    if error.ctx is not None:
        command = re.sub(_ROOM, r"bash run.sh \1", error.ctx.command_path)
        lines.append(f"看全部选项：{command} --help")
    typer.echo("\n".join(lines), file=file, err=True)


# Typer takes no other words from outside. So every command has them, those within others as well.
UsageError.show = _show


def stop(message: object, code: int = 2) -> NoReturn:
    """End the command with this exit code, and say why on standard error."""
    typer.secho(str(message), fg="red", err=True)
    raise typer.Exit(code)


def run_command(command: Callable[..., Any]) -> None:
    """Run a program that is one command, as typer.run does."""
    app = make_app()
    app.command()(command)
    app()
