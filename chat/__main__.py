"""Talk to the models of this folder: python -m chat

A page at http://127.0.0.1:7860 and OpenAI's API at /v1 of the same address. Ctrl-C stops all.
"""

import asyncio
import gc
import logging
import shlex
import signal
from pathlib import Path
from typing import Annotated, Literal

import typer
import uvicorn
import uvloop
from pydantic import ValidationError

from chat.errors import LoadError, NotLoadedError
from chat.registry import Registry
from chat.settings import INDEX, ChatSettings
from common.cli import option, run_command, stop
from common.language import either, in_chinese
from common.ports import PortTakenError, check_port

GRACE_S = 3
KEEP_ALIVE_S = 75  # longer than clients keep an idle connection: who closes first loses no request


@in_chinese("在浏览器里或用 OpenAI 的 API 与这个目录里的模型对话。")
def main(
    model: Annotated[
        list[str] | None,
        option(
            "启动时加载：目录，或 model/、out/ 里的名字",
            "loaded at the start: a directory, or a name of model/ and out/",
        ),
    ] = None,
    host: Annotated[
        str, option("换成别的地址需要 CHAT_TOKEN", "another one needs CHAT_TOKEN")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 7860,
    token: Annotated[
        str,
        option(
            "向每个人要；用变量设置", "asked of everybody; set the variable", envvar="CHAT_TOKEN"
        ),
    ] = "",
    index: Annotated[
        Path,
        option(
            "教材的索引（`retrieval build`），用来翻书作答",
            "index of a book (`retrieval build`), for answers with the book",
        ),
    ] = INDEX,
    passages: Annotated[
        int, option("问题前面放几个片段", "passages before a question", min=1, max=20)
    ] = 2,
    when_unloaded: Annotated[
        Literal["load", "error"],
        option(
            "API 请求了没有加载的模型时怎么办",
            "what an API request for a model that is not loaded does",
        ),
    ] = "load",
    max_model_len: Annotated[int, option("上下文的词元数", "context in tokens", min=64)] = 4096,
    max_loras: Annotated[
        int, option("同时几个适配器；0：不用", "adapters at once; 0: none", min=0, max=32)
    ] = 4,
    upload_mb: Annotated[int, option("最大的请求或上传", "longest request or upload", min=1)] = 20,
    engine_python: Annotated[Path, option("装有 vLLM 的 python", "a python that has vLLM")] = Path(
        ".venv/bin/python"
    ),
    engine_args: Annotated[
        str, option("`vllm serve` 的其他参数", "more arguments of `vllm serve`")
    ] = "",
    root: Annotated[
        Path, option("model/、out/、report/ 在哪里", "where model/, out/ and report/ lie")
    ] = Path(),
) -> None:
    """Talk to the models of this folder, in a browser or by OpenAI's API."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for noisy in ("httpx", "httpx2"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    directories = tuple(Path(name) for name in model or [] if Path(name).is_dir())
    try:
        settings = ChatSettings(
            host=host,
            port=port,
            token=token,
            root=root,
            models=directories,
            index=index,
            passages=passages,
            when_unloaded=when_unloaded,
            max_model_len=max_model_len,
            max_loras=max_loras,
            upload_mb=upload_mb,
            engine_python=engine_python,
            engine_args=tuple(shlex.split(engine_args)),
        )
        check_port(port)
    except ValidationError as error:
        stop("; ".join(str(each["msg"]).removeprefix("Value error, ") for each in error.errors()))
    except PortTakenError as error:
        stop(f"{error}. {either('换一个：', 'Choose another: ')}bash run.sh chat --port 7861")
    if not engine_python.is_file():
        stop(f"--engine-python {engine_python}: no such file; `bash run.sh chat` makes it")
    # uvicorn ends cleanly by TERM and INT, and engines with it; a closed terminal sends HUP.
    signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    uvloop.run(_serve(settings, model or []))


async def _serve(settings: ChatSettings, wanted: list[str]) -> None:
    from chat.app import make_app

    registry = Registry(settings)
    try:
        app = make_app(settings, registry)
    except (ValueError, OSError) as error:
        stop(str(error))
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_level="warning",
            timeout_graceful_shutdown=GRACE_S,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
    )
    # Gradio leaves some hundred thousand objects. Going through them for garbage takes a tenth of a
    # second, in which no stream moves, and none of them ever is garbage.
    gc.collect()
    gc.freeze()
    first = asyncio.create_task(_load_first(registry, settings, wanted))
    try:
        await server.serve()
    finally:
        first.cancel()


async def _load_first(registry: Registry, settings: ChatSettings, wanted: list[str]) -> None:
    """Load what was asked for while the page is open already."""
    address = f"http://{settings.host}:{settings.port}"
    key = either("（令牌 CHAT_TOKEN）", " (token: CHAT_TOKEN)") if settings.token else ""
    _say(
        either(
            f"网页 {address}{key}；OpenAI 接口 {address}/v1", f"page {address}{key}; OpenAI API /v1"
        )
    )
    paths = {model.path.resolve(): name for name, model in registry.found().models.items()}
    for each in wanted:
        name = paths.get(Path(each).resolve(), each)
        _say(either(f"正在加载 {name} …", f"loading {name} …"))
        try:
            engine = await registry.load(name)
        except (LoadError, NotLoadedError) as error:
            typer.secho(str(error), fg="red", err=True)
            continue
        seconds = engine.load_seconds or 0.0
        _say(either(f"{name} 可以提问了（{seconds:.0f} 秒）", f"{name} answers ({seconds:.0f} s)"))


def _say(text: str) -> None:
    typer.secho(f"==> {text}", bold=True)


if __name__ == "__main__":
    run_command(main)
