"""Books → passages → index, published as a whole: a build that fails leaves the old index."""

import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from common.language import either
from common.manifest import (
    MANIFEST_NAME,
    Manifest,
    directory_records,
    file_record,
    library_versions,
    read_manifest,
    write_manifest,
)
from common.simplified import character_table
from data.books import EmptyBookError, read_book
from data.cache import Cache
from data.chunks import cut_chunks
from data.figures import Figure, is_caption
from data.records import PARAGRAPH, Block
from data.sections import Section, read_sections
from retrieval.dense import INDEX_NAME as DENSE_NAME
from retrieval.dense import DenseIndex, Encoder, model_name
from retrieval.passages import PASSAGES_NAME, Passage, write_passages
from retrieval.search import SPARSE_DIR
from retrieval.sparse import write_sparse_index

LIBRARIES = ("bm25s", "opencc", "sentence-transformers", "faiss-cpu", "markitdown", "pypdfium2")
# Characters of a passage, chosen by the score of the answers (docs/retrieval.md).
MIN_CHARS, MAX_CHARS = 200, 1000
_DESCRIBES = re.compile(r"(?:[\u4e00-\u9fff].*){4}")
_BY_PROGRAM = re.compile("自动生成|插入图片|automatically generated")
AT_ONCE = 64  # passages encoded between two words of progress


@dataclass(frozen=True)
class IndexSettings:
    """What besides the books shapes an index. Passages are whole paragraphs, list items and code
    blocks of `min_chars` to `max_chars` characters; one block alone may be longer."""

    min_chars: int = MIN_CHARS
    max_chars: int = MAX_CHARS


def book_passages(path: Path, cache: Cache | None, settings: IndexSettings) -> list[Passage]:
    """The passages of one book in order. Raises BookError."""
    book = read_book(path, cache)
    sections = _with_captions(list(read_sections(book.text)))
    chunks = cut_chunks(book.name, sections, settings.min_chars, settings.max_chars)
    return [
        Passage(c.id, c.book, c.path, c.start, c.end, c.text, book.page_at(c.start)) for c in chunks
    ]


def _with_captions(sections: list[Section]) -> list[Section]:
    """The sections with what stands under their pictures, where the text does not say it itself.

    What a program wrote for a picture, and what many pictures are called, is no caption; a caption
    with its number ("图 3 …") that stands twice is kept once, where it first stands.
    """
    named = Counter(figure.caption for section in sections for figure in section.figures)
    kept: set[str] = set()

    def stands(figure: Figure) -> bool:
        caption = figure.caption
        if named[caption] == 1:
            return is_caption(caption) or bool(_DESCRIBES.search(caption))
        first = caption not in kept
        kept.add(caption)
        return first and is_caption(caption)

    for section in sections:
        said = {block.text for block in section.blocks}
        section.blocks += [
            Block(PARAGRAPH, figure.caption, figure.path, figure.start, figure.start)
            for figure in section.figures
            if stands(figure)
            and not any(figure.caption in text for text in said)
            and not _BY_PROGRAM.search(figure.caption)
        ]
        section.blocks.sort(key=lambda block: block.start)
    return sections


def build_index(
    books: Sequence[Path],
    out: Path,
    settings: IndexSettings,
    cache: Cache | None = None,
    encoder: Path | None = None,
    on_step: Callable[[str], None] = lambda step: None,
) -> tuple[Manifest, bool]:
    """Make the index of these books in `out`; says whether anything changed.

    encoder: a bi-encoder's directory, for search by meaning as well; vectors of passages that it
    has encoded before come from the cache, so a changed chapter is encoded alone.
    Raises BookError, ValueError, OSError.
    """
    started = time.monotonic()
    if out.exists() and not out.is_dir():
        raise ValueError(
            either(f"--out {out}：是一个文件；给一个目录", f"--out {out}: a file; give a folder")
        )
    passages: list[Passage] = []
    for path in books:
        on_step(either(f"读 {path.name}", f"reading {path.name}"))
        try:
            passages += book_passages(path, cache, settings)
        except EmptyBookError:
            if len(books) == 1:
                raise
    if not passages:
        raise ValueError(
            either(
                "这些书里没有一个片段：没有东西可查；看看书里有没有正文",
                "no passage in these books: nothing to search; do they have text?",
            )
        )
    texts = [passage.indexed_text for passage in passages]
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        write_passages(work, passages)
        on_step("BM25")
        write_sparse_index(texts, work / SPARSE_DIR, character_table())
        if encoder:
            DenseIndex.build(vectors_of(encoder, texts, cache, on_step)).save(work)
        manifest = Manifest(
            stage="index",
            name=", ".join(path.name for path in books[:5]) + (" …" if len(books) > 5 else ""),
            inputs=[file_record(path) for path in books],
            outputs=directory_records(work),
            settings=asdict(settings) | {"encoder": model_name(encoder) if encoder else None},
            counts={
                "passages": len(passages),
                "characters": sum(len(passage.text) for passage in passages),
            },
            versions=library_versions(LIBRARIES),
            seconds=round(time.monotonic() - started, 2),
        )
        changed = _publish(work, out, manifest)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return manifest, changed


def vectors_of(
    directory: Path,
    texts: Sequence[str],
    cache: Cache | None,
    on_step: Callable[[str], None] = lambda step: None,
) -> np.ndarray:
    """Vectors of the texts, float32 [texts, width]; those made before come from the cache, where
    an interrupted run leaves what it has done."""
    from data.records import digest

    weights = sorted(directory.glob("*.safetensors"))
    model = digest(directory.name, *(file_record(path).sha256 for path in weights))
    keys = [f"vector-2/{model}/{digest(text)}" for text in texts]
    known = {key: row for key in keys if cache and (row := cache.get(key)) is not None}
    new = [i for i, key in enumerate(keys) if key not in known]
    encoder = Encoder(directory) if new else None
    for start in range(0, len(new), AT_ONCE):
        on_step(
            either(
                f"{model_name(directory)} 的向量：{len(new)} 个里的 {start} 个",
                f"vectors by {model_name(directory)}: {start} of {len(new)}",
            )
        )
        batch = new[start : start + AT_ONCE]
        made = encoder.documents([texts[i] for i in batch], 1)
        for i, vector in zip(batch, made, strict=True):
            known[keys[i]] = vector.tolist()
            if cache:
                cache.put(keys[i], known[keys[i]])
    return np.array([known[key] for key in keys], dtype=np.float32)


def _publish(work: Path, out: Path, manifest: Manifest) -> bool:
    """Put a finished index in place of the old one, other files of the folder stay; an equal one
    stays as it is."""
    old = read_manifest(out) if out.is_dir() else None
    if old and (old.outputs, old.settings) == (manifest.outputs, manifest.settings):
        return False
    write_manifest(work, manifest)
    out.mkdir(exist_ok=True)
    shutil.rmtree(out / SPARSE_DIR, ignore_errors=True)
    for name in (MANIFEST_NAME, PASSAGES_NAME, DENSE_NAME):
        (out / name).unlink(missing_ok=True)
    for path in work.iterdir():
        path.replace(out / path.name)
    return True
