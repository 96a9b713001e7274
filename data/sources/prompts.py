"""What a model is asked, by teacher and vllm alike: files that can be replaced (`data/prompts`)."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from common.language import either
from data.options import option
from data.records import Chunk, digest
from data.sources import SourceSettings

DEFAULTS = Path(__file__).parents[1] / "prompts"
# What sources/book_answers.py asks; the other texts ask for whole pairs.
BOOK_ANSWER_PROMPTS = (
    "question.md",
    "question_examples.jsonl",
    "demands.md",
    "answer.md",
    "answer_examples.jsonl",
)
PLACEHOLDERS = {
    "system.md": ("wordings", "kinds", "angles", "examples", "length", "code"),
    "user.md": ("path", "text", "count"),
    "review.md": ("text", "question", "answer"),
    "kinds.md": (),
    "angles.md": (),
    "examples.jsonl": (),
    **dict.fromkeys(BOOK_ANSWER_PROMPTS, ()),
}
EXAMPLE_FIELDS = {
    "examples.jsonl": ("text", "pairs"),
    "question_examples.jsonl": ("path", "demand", "answer", "question"),
    "answer_examples.jsonl": ("question", "text", "answer"),
}
DEMANDS = (
    "why",
    "contrast",
    "number",
    "code",
    "what",
    "how",
    "effect",
    "term",
)  # see sources/demands.py
_NEEDED = {"user.md": ("text",), "review.md": ("question", "answer")}
TALK = "talk"


class Style(BaseModel):
    """What answers are to be like; `data build --like` fills it from a test set's numbers.

    The texts stand in prompts; `chars` bounds answers that the book gives itself.
    """

    model_config = ConfigDict(frozen=True)

    length: str = "答案第一句完整复述问题的主语，直接给出结论，一段话说完，一般 60 到 200 字。"
    code: str = "只有问题要求写代码时，答案才给代码：给出片段中的核心代码，保持缩进。"
    kinds: str = ""
    chars: tuple[int, int] = (60, 200)


class ModelSettings(SourceSettings):
    """What the sources that ask a model have in common.

    `longest` bounds question and answer (characters) in the schema, for engines that enforce it:
    vLLM does, hosted endpoints refuse such bounds in their strict mode. `reply_tokens` bounds a
    reply, 0 for no bound.
    """

    model: str = option(
        "", "teacher：模型名；vllm：模型目录", "teacher: model name; vllm: model directory"
    )
    per_chunk: int = option(
        6,
        "每块文字要几对（答案出自书时：每千字）",
        "pairs per chunk (where the book answers: per 1,000 characters)",
        ge=1,
    )
    wordings: int = option(2, "每题另加几种问法", "more wordings per question", ge=0, le=6)
    prompts: Path | None = option(
        None, "提示词目录，代替 data/prompts", "folder of prompt files that replace data/prompts"
    )
    kinds: str = option(
        "",
        "题型，逗号隔开；另有 choice、true_false、talk",
        "question kinds, by comma; also choice, true_false, talk",
    )
    style: Style = Style()
    filters_off: list[str] = []  # --skip-rule, of which a source with checks of its own hears too
    longest: tuple[int, int] | None = None
    reply_tokens: int = 0


@dataclass(frozen=True)
class Prompts:
    """The texts of one folder over the defaults. Raises ValueError that names the file at fault."""

    texts: tuple[tuple[str, str], ...]
    kinds: tuple[tuple[str, str], ...]

    @property
    def version(self) -> str:
        """Changes with every character of what a model is asked when pairs are made."""
        others = ("review.md", *BOOK_ANSWER_PROMPTS)
        used = [text for name, text in self.texts if name not in others]
        return digest(*used, *map(":".join, self.kinds))[:8]

    @property
    def book_answers_version(self) -> str:
        """The same of what is asked to the book's own answers."""
        return digest(*map(self.text, BOOK_ANSWER_PROMPTS))[:8]

    def text(self, name: str) -> str:
        """One file's text."""
        return dict(self.texts)[name]

    def demands(self) -> dict[str, str]:
        """What a question is to ask for: name and words, of demands.md."""
        return _demands(self.text("demands.md"))

    def examples(self, name: str) -> list[dict[str, Any]]:
        """The rows of one file of examples, which were looked at when it was loaded."""
        return example_rows(self.text(name), Path(name), EXAMPLE_FIELDS[name])


@lru_cache(maxsize=8)
def load_prompts(folder: Path | None = None, wanted: str = "") -> Prompts:
    """The prompts of `folder`, the default ones where it has none, and the `wanted` kinds.

    Raises ValueError: no such folder, a placeholder missing, an unknown kind or a broken example.
    """
    if folder is not None and not folder.is_dir():
        raise ValueError(
            either(
                f"--prompts {folder}：没有这个目录；请复制 {DEFAULTS} 再改",
                f"--prompts {folder}: no such folder; copy {DEFAULTS} and change the copy",
            )
        )
    texts = {}
    for name in PLACEHOLDERS:
        own = folder / name if folder else None
        file = own if own is not None and own.is_file() else DEFAULTS / name
        texts[name] = file.read_text(encoding="utf-8-sig").strip()
        for needed in _NEEDED.get(name, ()):
            if f"{{{needed}}}" not in texts[name]:
                raise ValueError(
                    either(
                        f"{file}：缺了 {{{needed}}}，模型就看不到它",
                        f"{file}: {{{needed}}} is missing: the model would not see it",
                    )
                )
    demands = _demands(texts["demands.md"])
    if missing := [name for name in DEMANDS if not demands.get(name)]:
        file = "demands.md"
        raise ValueError(
            either(
                f"{folder or DEFAULTS}/{file}：缺了 {', '.join(missing)}，要写成“名称: 要求”",
                f"{folder or DEFAULTS}/{file}: no {', '.join(missing)}; write “name: demand”",
            )
        )
    if "{term}" not in demands["term"]:
        raise ValueError(
            either(
                f"{folder or DEFAULTS}/demands.md：term 一行缺了 {{term}}，模型就看不到要问的名字",
                f"{folder or DEFAULTS}/demands.md: {{term}} is missing in the line term: the model "
                "would not see the name that it is to ask about",
            )
        )
    for name, fields in EXAMPLE_FIELDS.items():
        own = folder is not None and (folder / name).is_file()
        example_rows(texts[name], (folder if own and folder else DEFAULTS) / name, fields)
    return Prompts(tuple(texts.items()), _kinds(texts["kinds.md"], wanted))


def _demands(text: str) -> dict[str, str]:
    lines = (line.partition(":") for line in text.split("\n"))
    return {name.strip(): words.strip() for name, colon, words in lines if colon}


def _kinds(text: str, wanted: str) -> tuple[tuple[str, str], ...]:
    known: dict[str, str] = {}
    usual = []
    for line in filter(None, map(str.strip, text.split("\n"))):
        name, _, said = line.lstrip("+ ").partition(":")
        known[name.strip()] = said.strip()
        if not line.startswith("+"):
            usual.append(name.strip())
    chosen = [name.strip() for name in wanted.split(",") if name.strip()] or usual
    if unknown := [name for name in chosen if name not in known]:
        raise ValueError(
            either(
                f"--kinds：没有 {', '.join(unknown)} 这种；有的是：{', '.join(known)}",
                f"--kinds: no kind {', '.join(unknown)}; there are: {', '.join(known)}",
            )
        )
    return tuple((name, known[name]) for name in chosen)


def example_rows(text: str, file: Path, fields: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a file of examples. Raises ValueError naming file, line and field."""
    rows = []
    for number, line in enumerate(filter(str.strip, text.split("\n")), 1):
        try:
            row = json.loads(line)
            rows.append({field: row[field] for field in fields})
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{file}, line {number}: {error}") from error
    return rows


def _examples(prompts: "Prompts") -> str:
    shown = []
    for row in prompts.examples("examples.jsonl"):
        made = json.dumps({"pairs": row["pairs"]}, ensure_ascii=False)
        shown.append(f"示例：\n<<<\n{row['text']}\n>>>\n{made}")
    return "\n\n".join(shown)


def fill(template: str, **values: object) -> str:
    """`{name}` by its value, all in one pass; other braces, such as those of JSON, stay."""
    names = "|".join(values)
    return re.sub(rf"\{{({names})\}}", lambda match: str(values[match[1]]), template)


def messages(chunk: Chunk, settings: ModelSettings) -> list[dict[str, str]]:
    """Chat messages that ask for the pairs of one chunk."""
    prompts = load_prompts(settings.prompts, settings.kinds)
    template = prompts.text("system.md")
    if settings.style != Style() and not all(
        f"{{{name}}}" in template for name in ("length", "code")
    ):
        raise ValueError(
            either(
                "--like 要把目标的长度写进 system.md：里面需要 {length} 和 {code}",
                "--like tells the model the target's length by system.md: put {length} and {code} "
                "into it",
            )
        )
    kinds = [f"   - {name}：{said}" for name, said in prompts.kinds]
    system = fill(
        template,
        wordings=settings.wordings,
        kinds="\n".join(
            [*kinds, *([f"   {settings.style.kinds}"] if settings.style.kinds else [])]
        ),
        length=settings.style.length,
        code=settings.style.code,
        angles="；".join(filter(None, map(str.strip, prompts.text("angles.md").split("\n")))),
        examples=_examples(prompts),
    )
    path = " › ".join(chunk.path) or chunk.book
    user = fill(prompts.text("user.md"), path=path, text=chunk.text, count=settings.per_chunk)
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def schema(settings: ModelSettings) -> dict[str, Any]:
    """JSON schema of a reply; with `longest` set, of at most `per_chunk` pairs."""
    kinds = [name for name, _ in load_prompts(settings.prompts, settings.kinds).kinds]
    text: dict[str, Any] = {"type": "string"}
    question, answer = dict(text), dict(text)
    pairs: dict[str, Any] = {"type": "array"}
    others: dict[str, Any] = {"type": "array", "items": question}
    if settings.longest:
        question["maxLength"], answer["maxLength"] = settings.longest
        pairs["maxItems"], others["maxItems"] = settings.per_chunk, settings.wordings
    fields: dict[str, Any] = {
        "kind": {"type": "string", "enum": kinds},
        "question": question,
        "answer": answer,
        "wordings": others,
    }
    if TALK in kinds:
        turn = {"question": question, "answer": answer}
        fields["turns"] = {"type": "array", "items": _object(turn)}
    pairs["items"] = _object(fields)
    return _object({"pairs": pairs})


def _object(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }


def prompt_version(settings: ModelSettings) -> str:
    """Names what is asked: pairs in the cache were made by it."""
    version = load_prompts(settings.prompts, settings.kinds).version
    style = settings.style
    if style == Style():
        return version
    return digest(version, style.length, style.code, style.kinds)[:8]


def estimate_tokens(chunks: Sequence[Chunk], settings: ModelSettings) -> tuple[int, int]:
    """Rough (prompt, answer) tokens: 1.6 characters a token, 150 tokens a pair."""
    prompt = sum(len(m["content"]) for chunk in chunks for m in messages(chunk, settings))
    return round(prompt / 1.6), len(chunks) * settings.per_chunk * 150


def failure_notes(source: str, failures: Counter[str], hint: str = "") -> list[str]:
    """What the user is told of chunks whose replies could not be used, counted by reason."""
    return [
        either(
            f"{source}：{count} 个文本块没有做出问答：{reason}{hint}",
            f"{source}: {count} chunks without pairs: {reason}{hint}",
        )
        for reason, count in sorted(failures.items())
    ]
