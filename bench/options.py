"""Command-line options that several benchmarks share."""

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[Path, typer.Argument(help="model directory")]
WorkloadFile = Annotated[Path | None, typer.Option(help="JSON rows of question, tokens")]
Questions = Annotated[int, typer.Option(help="without --workload")]
AnswerTokens = Annotated[int, typer.Option(help="without --workload")]
Dummy = Annotated[bool, typer.Option(help="random weights: only shape and tokenizer")]
SettingsOption = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE setting")]
Out = Annotated[Path, typer.Option(help="figures as JSON")]
JsonOut = Annotated[Path | None, typer.Option(help="write the figures here too")]


def settings_of(given: list[str] | None) -> dict[str, str]:
    """The settings of `--set KEY=VALUE …`. Raises typer.BadParameter."""
    for pair in given or []:
        if "=" not in pair:
            raise typer.BadParameter(f"--set {pair}: KEY=VALUE is needed")
    return dict(pair.split("=", 1) for pair in given or [])


def workload_arguments(workload: Path | None, questions: int, answer_tokens: int) -> list[str]:
    """The options that tell another process of a benchmark the same workload."""
    if workload:
        return ["--workload", str(workload)]
    return ["--questions", str(questions), "--answer-tokens", str(answer_tokens)]
