"""Another contestant's `serve.py`, as it is, on a port of ours. Started by bench/engines.py.

    MODEL_DIR=DIR python -m bench.peer PATH/serve.py --port 8000

Nothing of it is copied here. One line is changed in memory: `VLLM_USE_MODELSCOPE` stays false,
because where modelscope is missing vLLM would fail to start and a slow fallback answer instead.
"""

import os
import re
import sys
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

MODELSCOPE = re.compile(r"""(environ\[["']VLLM_USE_MODELSCOPE["']\]\s*=\s*)["']True["']""")


def main(
    file: Annotated[Path, typer.Argument(help="their serve.py")],
    port: Annotated[int, typer.Option()] = 8000,
) -> None:
    """Serve their application."""
    os.environ["VLLM_USE_MODELSCOPE"] = "False"
    sys.path.insert(0, str(file.parent.resolve()))
    text = MODELSCOPE.sub(r'\1"False"', file.read_text(encoding="utf-8"))
    names = {"__name__": "peer", "__file__": str(file)}
    module = type(sys)("peer")
    vars(module).update(names)
    sys.modules["peer"] = module  # pydantic looks types up by the module's name
    exec(compile(text, str(file), "exec"), vars(module))  # noqa: S102 - named on the command line
    uvicorn.run(module.app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    typer.run(main)
