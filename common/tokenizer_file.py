"""tokenizer.json of a model directory: counts tokens without Transformers."""

from pathlib import Path
from typing import TYPE_CHECKING

from common.language import BilingualError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class TokenizerError(BilingualError, ValueError):
    """No tokenizer there, or a broken one; the message is one line that says what to give."""


def load_tokenizer(path: Path) -> "Tokenizer":
    """The tokenizer of a model directory or of a tokenizer.json. Raises TokenizerError."""
    from tokenizers import Tokenizer

    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise TokenizerError(
            f"{file}：没有这个文件；请给有 tokenizer.json 的模型目录",
            f"{file}: no such file; give a model directory with tokenizer.json",
        )
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # noqa: BLE001  tokenizers raises nothing more specific
        raise TokenizerError(
            f"{file}：不是分词器，或没有下载完（{error}）",
            f"{file}: not a tokenizer, or one cut off ({error})",
        ) from error
