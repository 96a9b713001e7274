"""What a wrong command line is told: Chinese with Typer's own words behind it, or English alone."""

import re
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer
from typer.testing import CliRunner

from common.cli import make_app

app = make_app()


class Colour(str, Enum):
    red = "red"


@app.command()
def build(
    books: list[Path],
    out: Annotated[Path, typer.Option()],
    mode: Literal["auto", "serial"] = "auto",
    colour: Colour = Colour.red,
    count: Annotated[int, typer.Option(min=1, max=5)] = 1,
    share: float = 0.5,
    quick: bool = False,
    old: Annotated[Path | None, typer.Option(exists=True)] = None,
) -> None:
    pass


@app.command()
def show(directory: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("build a --oot d", "没有选项 --oot，是不是 "),
        ("build a --out d -z", "没有选项 -z"),
        ("bild", "没有命令 'bild'，是不是 'build'？"),
        ("zzz", "没有命令 'zzz'"),
        ("build --out d", "缺少参数 '"),
        ("build a", "缺少选项 '--out'"),
        ("build a --out", "选项 '--out' 后面要写值"),
        ("build a --out d --quick=1", "选项 '--quick' 后面不能写值"),
        ("show a b", "多出来的参数：b"),
        ("build a --out d --mode x", "'--mode' 的值不对：'x' 不在 'auto', 'serial' 之中"),
        ("build a --out d --colour x", "'--colour' 的值不对：'x' 不在 'red' 之中"),
        ("build a --out d --count x", "'--count' 的值不对：要写整数"),
        ("build a --out d --count 9", "'--count' 的值不对：最大 5"),
        ("build a --out d --count 0", "'--count' 的值不对：最小 1"),
        ("build a --out d --share x", "'--share' 的值不对：要写数"),
        ("build a --out d --old /no/such", "'--old' 的值不对：'/no/such' 不存在"),
    ],
)
def test_a_wrong_command_line_is_told_in_chinese_first(
    line: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIT_LANGUAGE", "zh")
    done = CliRunner().invoke(app, line.split())
    assert done.exit_code == 2 and done.stdout == ""
    chinese, original = done.stderr.splitlines()[:2]
    assert chinese.startswith(f"用法不对：{told}")
    assert not re.search(r"[A-Za-z]{2,} [A-Za-z]{2,}", chinese), "left in English"
    assert original.startswith("原文：")
    monkeypatch.setenv("KIT_LANGUAGE", "en")
    done = CliRunner().invoke(app, line.split())
    assert f"Error: {original[3:]}" in done.stderr and "用法" not in done.stderr


def test_an_option_with_a_dash_of_the_input_method_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    line = ["build", "a", "—out", "d"]
    monkeypatch.setattr("sys.argv", ["data", *line])
    for language, told in (
        ("zh", "—out：选项以两个英文减号（--）开头，不是 —"),
        ("en", "—out: an option begins with --, not with —"),
    ):
        monkeypatch.setenv("KIT_LANGUAGE", language)
        assert told in CliRunner().invoke(app, line).stderr.splitlines()


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("data", "bash run.sh data"),
        ("preflight.submissions", "bash run.sh submissions"),
        ("bench.load", "python -m bench.load"),
    ],
)
def test_the_help_that_is_named_is_the_command_as_it_is_given(
    module: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIT_LANGUAGE", "zh")
    done = CliRunner().invoke(app, ["show"], prog_name=f"python -m {module}")
    assert done.stderr.splitlines()[-1] == f"看全部选项：{command} show --help"
