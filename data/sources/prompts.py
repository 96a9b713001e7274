"""What a model is asked, by teacher and vllm alike, and how its reply is read."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from data.options import option
from data.records import CODE, Chunk, Pair, digest, pair_at
from data.sources import SourceSettings
from data.text import is_code

KINDS = ("definition", "why", "how", "comparison", "calculation", "code", "fact", "enumeration")

SYSTEM = """你是严谨的教材出题专家。根据给出的教材片段编写问答对，用于训练一个答疑模型。

要求：
1. 只用片段里的内容作答：不补充片段之外的知识，不改动数字、代码、标识符和术语。
2. 问题必须独立成立：写全主语，例如写“CUDA 中的共享内存”，而不写“它”“该方法”“上述代码”。
3. 答案第一句完整复述问题的主语，直接给出结论，一段话说完，一般 60 到 200 字。
4. 使用教材自己的术语，并保留英文名称、标识符、函数名、数字和单位，
   例如“线程束（warp）”“32 个线程”“cudaMemcpy”。
5. 只有问题要求写代码时，答案才给代码：给出片段中的核心代码，保持缩进。
6. 不写“根据文中”“本章”“如上图所示”“作者认为”这类话，不提图、表、章节编号。
7. 题型和难度要多样：定义（definition）、原因（why）、做法（how）、比较（comparison）、
   计算（calculation）、代码（code）、事实（fact）、列举（enumeration）；
   片段里没有依据的题型不要硬出。
8. 每个问题另给 {wordings} 种问法（wordings），意思相同，说法不同。
9. 片段信息太少时少出题，可以一个也不出。不同的问题不要问同一个事实。"""

USER = """书中位置：{path}

教材片段：
<<<
{text}
>>>

请编写最多 {count} 个问答对，只输出 JSON。"""

PROMPT_VERSION = digest(SYSTEM, USER)[:8]


class ModelSettings(SourceSettings):
    """What the sources that ask a model have in common.

    `longest` bounds question and answer (characters) in the schema, for engines that enforce it:
    vLLM does, hosted endpoints refuse such bounds in their strict mode. `reply_tokens` bounds a
    reply, 0 for no bound.
    """

    model: str = option("", "teacher: model name; vllm: model directory")
    per_chunk: int = option(6, "pairs to ask for per chunk", ge=1)
    wordings: int = option(2, "more wordings per question", ge=0, le=6)
    longest: tuple[int, int] | None = None
    reply_tokens: int = 0


class MadePair(BaseModel):
    """One pair as a model gives it."""

    kind: str = "other"
    question: str = Field(min_length=2)
    answer: str = Field(min_length=2)
    wordings: list[str] = []


class Made(BaseModel):
    """A model's whole reply for one chunk."""

    pairs: list[MadePair]


class ReplyError(ValueError):
    """A reply that is not the JSON that was asked for."""

    @property
    def reason(self) -> str:
        """The message without its details, to count by."""
        return str(self).split(" (")[0]


def schema(settings: ModelSettings) -> dict[str, Any]:
    """JSON schema of a reply; with `longest` set, of at most `per_chunk` pairs."""
    text: dict[str, Any] = {"type": "string"}
    question, answer = dict(text), dict(text)
    pairs: dict[str, Any] = {"type": "array"}
    others: dict[str, Any] = {"type": "array", "items": question}
    if settings.longest:
        question["maxLength"], answer["maxLength"] = settings.longest
        pairs["maxItems"], others["maxItems"] = settings.per_chunk, settings.wordings
    fields = {
        "kind": {"type": "string", "enum": list(KINDS)},
        "question": question,
        "answer": answer,
        "wordings": others,
    }
    pairs["items"] = {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"pairs": pairs},
        "required": ["pairs"],
        "additionalProperties": False,
    }


def messages(chunk: Chunk, settings: ModelSettings) -> list[dict[str, str]]:
    """Chat messages that ask for the pairs of one chunk."""
    path = " › ".join(chunk.path) or chunk.book
    asked = USER.format(path=path, text=chunk.text, count=settings.per_chunk)
    return [
        {"role": "system", "content": SYSTEM.format(wordings=settings.wordings)},
        {"role": "user", "content": asked},
    ]


def read_reply(text: str, chunk: Chunk, source: str, count: int) -> list[Pair]:
    """The pairs of a reply, at most `count`. Raises ReplyError saying what is wrong.

    Servers without schema support put thoughts and code fences around the JSON: both are removed.
    """
    text = re.sub(r"<think>.*?</think>", "", text, flags=re.S).strip()
    if fenced := re.search(r"```(?:json)?\s*(\{.*\})\s*```", text, re.S):
        text = fenced.group(1)
    try:
        # Not strict: code in a string often holds raw line ends.
        made = Made.model_validate(json.loads(text, strict=False))
    except json.JSONDecodeError as error:
        raise ReplyError(f"broken JSON ({error.msg} at character {error.pos})") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ReplyError(f"JSON of another shape ({place}: {first['msg']})") from error
    found = []
    for row in made.pairs[:count]:
        kind = CODE if row.kind == "code" and is_code(row.answer) else row.kind
        pair = pair_at(chunk, row.question, row.answer, kind, source)
        pair.wordings = tuple(w.strip() for w in row.wordings if w.strip())
        found.append(pair)
    return found


def estimate_tokens(chunks: Sequence[Chunk], settings: ModelSettings) -> tuple[int, int]:
    """Rough (prompt, answer) tokens: 1.6 characters a token, 150 tokens a pair."""
    prompt = sum(len(m["content"]) for chunk in chunks for m in messages(chunk, settings))
    return round(prompt / 1.6), len(chunks) * settings.per_chunk * 150


def failure_notes(source: str, failures: Counter[str], hint: str = "") -> list[str]:
    """What the user is told of chunks whose replies could not be used, counted by reason."""
    return [
        f"{source}: {count} chunks without pairs: {reason}{hint}"
        for reason, count in sorted(failures.items())
    ]
