"""Books → chunks, counted in the build's funnel."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from common.language import either
from common.word.labels import after_answer
from data.books import BookError, EmptyBookError, read_book
from data.chunks import cut_chunks
from data.context import BuildContext, Progress
from data.limited import Told
from data.losses import FIGURE, HEADING, Loss
from data.records import Chunk
from data.sections import empty_headings, read_sections
from data.topics import Topics

# Of a test set each question has one; no file among 20,000 of public books has more than 20.
LABELLED_ANSWERS = 30


def read_chunks(path: Path, context: BuildContext, topics: Topics | None = None) -> list[Chunk]:
    """The chunks of one book, with what it is about. Raises BookError.

    topics: of all books of the run; without it the book counts as the only one.
    """
    funnel, settings = context.funnel, context.settings
    book = read_book(path, context.cache, settings.ocr.value, _ocr_progress(path, context.progress))
    if note := test_set_note(book.name, book.text):
        context.progress.warn(note)
    sections = list(read_sections(book.text))
    # Two books of one file name are told apart by their digests.
    name = book.name if book.name not in funnel.books else f"{book.name}#{book.sha256[:8]}"
    chunks = list(cut_chunks(name, sections, settings.min_chars, settings.max_chars))
    paths = [section.path for section in sections if section.blocks]
    about = (topics or Topics([path])).of(path, book.text, paths)
    chunks = [replace(chunk, topics=about(chunk.path, chunk.text)) for chunk in chunks]
    funnel.apparatus += sum(section.is_apparatus for section in sections)
    figures = [figure for section in sections for figure in section.figures]
    losses = [*book.losses, *(Loss(FIGURE, figure.place) for figure in figures)]
    losses += [Loss(HEADING, title) for title in empty_headings(sections)]
    funnel.add_reading(name, losses, figures, book.pages, book.ocr_pages)
    if not chunks:
        raise EmptyBookError(f"{path}：里面没有带正文的小节", f"{path}: no section with text in it")
    funnel.add_chunks(name, chunks)
    return chunks


def test_set_note(name: str, text: str) -> str:
    """One line where a book is written as a test set is (问题：… 答案：…), else ""."""
    lines = (line.replace("*", "").strip("#_ ") for line in text.splitlines())
    found = sum(after_answer(line) is not None for line in lines)
    if found < LABELLED_ANSWERS:
        return ""
    return either(
        f"{name}：里面有 {found} 个写成“答案：…”的答案。是测试集就不能放进训练和索引：去掉它再来；"
        "是教材自己的习题就没事",
        f"{name}: holds {found} labelled answers (答案：…). A test set must be in no training and "
        "no index: leave it out and run again; exercises of the book itself are fine",
    )


def _ocr_progress(path: Path, progress: Progress) -> Told:
    shown = 0

    def told(done: int, total: int) -> None:
        nonlocal shown
        if not done:
            progress.step(f"OCR of {path.name}", total)
        progress.advance(done - shown)
        shown = done

    return told


def keep_going_hint(books: Sequence[Path]) -> str:
    """What a message of a book that stops the others has to add."""
    if len(books) < 2:
        return ""
    return either(
        f"；其余 {len(books) - 1} 个照读：加 --keep-going",
        f"; to go on with the other {len(books) - 1}: --keep-going",
    )


def chunk_batches(books: Sequence[Path], context: BuildContext) -> Iterator[list[Chunk]]:
    """Chunks book by book, or all at once for a source that wants one batch.

    With `keep_going` a book that cannot be read is skipped with a warning, and so is always a
    file without text among other books; otherwise raises BookError.
    """
    everything: list[Chunk] = []
    topics = Topics(books)
    for path in books:
        context.progress.step(either(f"读 {path.name}", f"reading {path.name}"))
        try:
            chunks = read_chunks(path, context, topics)
        except BookError as error:
            empty = isinstance(error, EmptyBookError) and len(books) > 1
            if not empty and not context.settings.keep_going:
                raise type(error)(f"{error}{keep_going_hint(books)}") from error
            said = either(f"跳过：{error}", f"skipped: {error}")
            context.progress.warn(said)
            context.funnel.skip(path.name, said)
            continue
        if context.source.one_batch:
            everything += chunks
        else:
            yield chunks
    if everything:
        yield everything
