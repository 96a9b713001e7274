"""The pipeline's records: blocks, chunks and pairs."""

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any

from data.text import fenced

PARAGRAPH, ITEM, CODE, TABLE, QUOTE = "paragraph", "item", "code", "table", "quote"  # blocks
COMMAND = "command"
VERBATIM = (CODE, COMMAND)  # kinds of pairs whose answer is code, kept as it is printed


def digest(*parts: str) -> str:
    """First 16 hex digits of the sha256 of the parts, which are kept apart by NUL."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Block:
    """One paragraph, list item, code block, table or quotation of a book.

    `start` and `end` are character offsets in the book's Markdown text (`Book.text`).
    `marker` is a list item's bullet or number, empty for the later paragraphs of an item.
    `terms` are the words the author set in bold or in a code face.
    """

    kind: str
    text: str
    path: tuple[str, ...]
    start: int
    end: int
    marker: str = ""
    depth: int = 0
    language: str = ""
    terms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chunk:
    """Neighbouring blocks of one section: what one question is asked about.

    `path` is the heading path, outermost first; the span is that of its blocks. `topics` is what
    the book is about at this place (see `data/topics.py`), no part of the chunk's identity.
    """

    book: str
    path: tuple[str, ...]
    start: int
    end: int
    blocks: tuple[Block, ...] = field(repr=False)
    topics: tuple[str, ...] = ()
    whole: tuple[tuple[str, ...], ...] = ()

    @property
    def text(self) -> str:
        """The blocks as text, code in fences, headings where a chunk holds several sections."""
        parts: list[str] = []
        path = self.path
        for block in self.blocks:
            if block.path != path and block.path != self.path and block.path:
                parts.append(f"## {block.path[-1]}")
            path = block.path
            parts.append(block_text(block))
        return "\n\n".join(parts)

    @property
    def grounds(self) -> str:
        """What a pair of this chunk may name: its text, and what the book is about."""
        return "\n".join([self.text, *self.topics])

    @property
    def id(self) -> str:
        """Stable while the chunk's place and text stay the same."""
        return digest(self.book, str(self.start), *self.path, self.text)

    @property
    def content_key(self) -> str:
        """Depends on headings and text only: a chunk that moves in its book keeps it."""
        return digest(*self.path, self.text)

    @property
    def section(self) -> str:
        """The unit of splitting: the book and the chunk's whole heading path."""
        return "\0".join((self.book, *self.path))

    def to_dict(self) -> dict[str, Any]:
        """JSON form; `chunk_from_dict` reads it back."""
        return asdict(self)


def block_text(block: Block) -> str:
    """A block as it reads in a chunk: list markers and code fences included."""
    if block.kind == CODE:
        return fenced(block.text, block.language)
    return f"{block.marker} {block.text}" if block.marker else block.text


def chunk_from_dict(row: dict[str, Any]) -> Chunk:
    """Rebuild a chunk from `Chunk.to_dict` (lists become tuples again)."""
    blocks = tuple(
        Block(**{**b, "path": tuple(b["path"]), "terms": tuple(b["terms"])}) for b in row["blocks"]
    )
    topics = tuple(row.get("topics", ()))
    whole = tuple(map(tuple, row.get("whole", ())))
    return Chunk(row["book"], tuple(row["path"]), row["start"], row["end"], blocks, topics, whole)


@dataclass
class Pair:
    """One question with its answer and the place in the book where it comes from.

    `group` is shared by all wordings of one fact; `kind` names the sort of question; `wordings`
    are other ways to ask it that its source gave. `history` holds the turns (user, assistant)
    before the question, `system` a merged row's own system message. `prompt` is what the model is
    asked where passages of the book stand before the question, `passages` are their ids.
    `train_only`: its answer has a fault and is written anew before training, so that nothing can be
    judged by it.
    """

    question: str
    answer: str
    kind: str = "other"
    source: str = "rules"
    book: str = ""
    path: tuple[str, ...] = ()
    start: int = 0
    end: int = 0
    chunk: str = ""
    group: str = ""
    wordings: tuple[str, ...] = ()
    history: tuple[tuple[str, str], ...] = ()
    system: str = ""
    prompt: str = ""
    passages: tuple[str, ...] = ()
    train_only: bool = False

    @property
    def id(self) -> str:
        """Digest of question and answer, and of the talk before them where there is one."""
        talk = [text for turn in self.history for text in turn]
        talk += [self.system] if self.system else []
        return digest(*talk, self.question, self.answer)

    @property
    def asked(self) -> str:
        """The question as it is compared with others: "why?" means what was said before it."""
        return "\n".join([*(user for user, _ in self.history), self.question])

    @property
    def section(self) -> str:
        """Same key as `Chunk.section`: pairs of one section stay in one split."""
        return "\0".join((self.book, *self.path))

    def provenance(self) -> dict[str, Any]:
        """Where the pair comes from, as written into every output row."""
        shown = {"asked": self.question, "passages": list(self.passages)} if self.prompt else {}
        return {
            "id": self.id,
            "group": self.group or self.id,
            "kind": self.kind,
            "source": self.source,
            "book": self.book,
            "path": list(self.path),
            "span": [self.start, self.end],
            "chunk": self.chunk,
            **shown,
        }


def pair_at(
    chunk: Chunk, question: str, answer: str, kind: str, source: str, block: Block | None = None
) -> Pair:
    """A pair made from `chunk`; from one `block` of it, where the source knows which."""
    answer = "\n".join(line.rstrip() for line in answer.strip().split("\n"))
    place = block or chunk
    pair = Pair(question.strip(), answer, kind, source, chunk.book, place.path)
    pair.start, pair.end = place.start, place.end
    pair.chunk = chunk.id
    pair.group = pair.id
    return pair
