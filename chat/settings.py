"""Every setting of the chat, read in one place (`python -m chat` and its options)."""

import ipaddress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.language import either
from retrieval.passages import PASSAGES_NAME

INDEX = Path("index")  # where `retrieval build` of the docs puts it


class ChatSettings(BaseModel):
    """Settings of one run. Raises pydantic's ValidationError naming the field."""

    model_config = ConfigDict(frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(7860, ge=1, le=65535)
    token: str = Field("", description="asked of everybody; must be set for other hosts")
    root: Path = Field(Path(), description="the kit's folder: model/, out/ and report/ lie in it")
    models: tuple[Path, ...] = Field((), description="model directories beside those in the root")
    when_unloaded: Literal["load", "error"] = "load"
    index: Path | None = None
    passages: int = Field(2, ge=1, le=20)
    passage_tokens: int = Field(1200, ge=1)
    max_model_len: int = Field(4096, ge=64)
    max_loras: int = Field(4, ge=0, le=32, description="adapters loaded at once; 0: no adapters")
    upload_mb: int = Field(20, ge=1)
    engine_python: Path = Path(".venv/bin/python")
    engine_args: tuple[str, ...] = Field((), description="more arguments of `vllm serve`")
    start_limit_s: float = Field(900, gt=0)
    drain_limit_s: float = Field(60, ge=0, description="for answers in progress, before an unload")

    @model_validator(mode="after")
    def _safe(self) -> "ChatSettings":
        if not self.token and not is_loopback(self.host):
            tunnel = "ssh -L 7860:127.0.0.1:7860 …"
            zh = f"--host {self.host} 会让别人进来：把 CHAT_TOKEN 设成你自己的秘密，"
            en = f"--host {self.host} lets others in: set CHAT_TOKEN to a secret of your own, or "
            zh += f"或者不写 --host，走 SSH 隧道（{tunnel}）"
            en += f"leave --host out and come through an SSH tunnel ({tunnel})"
            raise ValueError(either(zh, en))
        return self

    @model_validator(mode="after")
    def _index_is_one(self) -> "ChatSettings":
        """The usual place may be empty; a folder that somebody names has to be an index."""
        named = self.index not in (None, INDEX)
        if named and self.index and not (self.index / PASSAGES_NAME).is_file():
            zh = f"--index {self.index}：不是索引（没有 {PASSAGES_NAME}）：先 bash run.sh retrieval"
            en = f"--index {self.index}: no index (no {PASSAGES_NAME}): first bash run.sh retrieval"
            raise ValueError(
                either(f"{zh} build 教材 --out {self.index}", f"{en} build BOOK --out {self.index}")
            )
        return self

    @property
    def report_dir(self) -> Path:
        """Where votes and ratings are kept."""
        return self.root / "report" / "chat"


def is_loopback(host: str) -> bool:
    """Whether an address or name means this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
