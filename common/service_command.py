"""Run a command while a service is up; run.sh does its starting, waiting and stopping with it.

    python -m common.service_command run --service "uvicorn serve:app --port 8000" \\
        --port 8000 --log report/server.log -- python eval_local.py testset.docx
    python -m common.service_command check-port 8000

Exit code: the command's own; 1 when the service does not start; 130 after Ctrl-C, 143 after TERM.
"""

import contextlib
import math
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import psutil
import typer

from common.cli import argument, make_app, option
from common.language import either, in_chinese
from common.ports import PortTakenError, check_port
from common.service_process import (
    ServiceError,
    SignalReceived,
    ended_with,
    running,
    stop_on_signals,
)

COMMAND_GRACE_S = 5.0
SERVICE_GRACE_S = 10.0
Port = Annotated[int, typer.Option(min=1, max=65535)]
app = make_app()


@app.command()
@in_chinese("启动服务，运行命令，停下服务。")
def run(
    command: Annotated[
        list[str], argument("服务在的时候运行什么", "what to run while the service is up")
    ],
    service: Annotated[str, option("服务自己的命令", "the service's own command")],
    port: Port = 8000,
    path: Annotated[
        str, option("GET 它得到 HTTP 200 就算就绪", "ready when GET of it gives HTTP 200")
    ] = "/",
    log: Annotated[Path, option("服务的输出", "the service's output")] = Path("report/server.log"),
    title: Annotated[
        str, option("在命令的输出之前显示", "printed before the command's output")
    ] = "",
    after: Annotated[
        str,
        option(
            "前一个命令成功、服务停下之后运行的命令",
            "a command for when the first succeeded and the service has stopped",
        ),
    ] = "",
) -> None:
    """Start a service, run a command, stop the service."""
    stop_on_signals()
    try:
        code = _run_with(service, command, port, path, log, title)
        if after and code == 0:
            code = _run(shlex.split(after))
    except PortTakenError as error:
        _complain(_taken(error))
        raise typer.Exit(1) from None
    except (ServiceError, OSError) as error:
        _complain(error)
        raise typer.Exit(1) from None
    except SignalReceived as received:
        raise typer.Exit(received.exit_code) from None
    raise typer.Exit(code)


@app.command("check-port")
@in_chinese("端口不能用时以 1 退出，并说出是谁占用。")
def check(port: Annotated[int, typer.Argument(min=1, max=65535)]) -> None:
    """Exit code 1, and who holds it, when a port cannot be used."""
    try:
        check_port(port)
    except PortTakenError as error:
        _complain(_taken(error))
        raise typer.Exit(1) from None


def _run_with(service: str, command: list[str], port: int, path: str, log: Path, title: str) -> int:
    with running(shlex.split(service), port=port, log=log, grace=SERVICE_GRACE_S) as started:
        _say(
            either(
                f"服务：在端口 {port} 上启动（日志：{log}）",
                f"service: starting on port {port} (log: {log})",
            )
        )
        seconds = started.wait_until_ready(math.inf, path, _show_wait)
        _say(either(f"服务：{seconds:.1f} 秒后就绪", f"service: ready after {seconds:.1f} s"))
        if title:
            _say(title)
        code = _run(command)
        if (ended := started.process.poll()) is not None:
            how, why = ended_with(ended), started.last_error()
            _complain(
                either(
                    f"服务中途停了（{how}）：{why}", f"the service ended meanwhile ({how}): {why}"
                )
            )
        return code


def _run(command: list[str]) -> int:
    """The command's exit code, as a shell tells it. A signal ends it with all that it started."""
    process = subprocess.Popen(command)
    try:
        code = process.wait()
    except SignalReceived as received:
        _end(process.pid, received.number)
        raise
    return code if code >= 0 else 128 - code


def _end(pid: int, number: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):  # Ctrl-C has ended it already
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        if number != signal.SIGINT:  # Ctrl-C has reached them from the terminal
            _send(family, signal.SIGTERM)
        _send(psutil.wait_procs(family, COMMAND_GRACE_S)[1], signal.SIGKILL)


def _send(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _show_wait(seconds: float) -> None:
    if sys.stdout.isatty():
        doing = either("正在加载模型 …", "loading the model …")
        typer.echo(f"\r    {doing} {seconds:3.0f} s ", nl=False)


def _say(text: str) -> None:
    clear = "\r" if sys.stdout.isatty() else ""  # the line of the wait
    typer.secho(f"{clear}==> {text}", bold=True)


def _taken(error: PortTakenError) -> str:
    return either(
        f"{error}。停掉它，或换一个端口（PORT=8001 bash run.sh）。",
        f"{error}. Stop it, or choose another port (PORT=8001 bash run.sh).",
    )


def _complain(text: object) -> None:
    typer.secho(str(text), fg="red", err=True)


if __name__ == "__main__":
    app()
