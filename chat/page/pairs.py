"""数据: pairs beside the text they come from; edited, rejected, saved as a new file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pandas as pd

from chat.page.context import Page, joined, text_block
from chat.pairs_review import CHUNKS_NAME, Review, ReviewError, open_review, save_review

FOLDERS = ("out", "model")


def build(page: Page) -> None:
    """The tab."""
    say = page.say
    kept, asked, answered = say("保留", "keep"), say("问题", "question"), say("回答", "answer")
    with gr.Row(elem_classes="bottom"):
        source = gr.Dropdown(
            _sources(page),
            value=None,
            label=say("data build 的输出", "output of data build"),
            scale=2,
        )
        upload = gr.UploadButton(
            say("上传问答文件", "upload pairs") + f" (≤ {page.settings.upload_mb} MB)",
            scale=0,
            min_width=230,
        )
        section = gr.Dropdown([], label=say("章节", "section"), scale=2)
    how = say(
        "选 data build 的输出，或上传训练对、测试集（jsonl、docx、csv）；逐节改，再另存。",
        "Choose an output of data build, or upload pairs or a test set (jsonl, docx, csv); "
        "edit section by section, then save as new files.",
    )
    none = say(
        "还没有 data build 的输出：bash run.sh data build 教材.docx --out out/名称/data；"
        "或上传训练对、测试集（jsonl、docx、csv）。",
        "No output of data build yet: bash run.sh data build BOOK.docx --out out/NAME/data; or "
        "upload pairs or a test set (jsonl, docx, csv).",
    )
    told = page.line(lambda: how if _sources(page) else none)
    with gr.Row(equal_height=False):
        with gr.Column(scale=2):
            text = gr.HTML(joined([], say("原文显示在这里", "the text appears here")))
        with gr.Column(scale=3):
            table = gr.Dataframe(
                headers=["#", kept, asked, answered],
                datatype=["number", "bool", "str", "str"],
                column_widths=["8%", "12%", "32%", "48%"],
                static_columns=[0],
                interactive=True,
                wrap=True,
                max_height=560,
                label=say("问答对：改字，或取消“保留”", "pairs: edit, or untick “keep”"),
            )
    with gr.Row(elem_classes="bottom"):
        name = gr.Textbox(label=say("新文件的名字", "name of the new file"), value="reviewed")
        save = gr.Button(
            say("另存为新文件", "save as new files"), variant="primary", scale=0, min_width=160
        )
    review = gr.State(None)

    def opened(path: str | None) -> tuple[Any, ...]:
        if not path:
            return None, gr.update(choices=[], value=None), ""
        try:
            found = open_review(Path(path))
        except (ValueError, OSError) as error:
            # One line, with the file's own name: an upload lies in a temporary folder.
            first, *more = str(error).replace(path, Path(path).name).splitlines()
            raise page.failed(first + (" …" if more else "")) from error
        sections = found.sections
        warned = f" · {found.warnings[0]} …" if found.warnings else ""
        first = sections[0] if sections else None
        told = f"{Path(path).name}: {_counts(page, found)}{warned}"
        return found, gr.update(choices=sections, value=first), told

    def shown(found: Review | None, heading: str | None) -> tuple[Any, Any]:
        rows = (
            []
            if found is None
            else [(i, r) for i, r in enumerate(found.rows) if r.place == heading]
        )
        texts = dict.fromkeys(row.text for _, row in rows if row.text)
        pieces = [text_block(heading or "", each) for each in texts]
        frame = pd.DataFrame(
            [[i + 1, r.kept, r.pair.question, r.pair.answer] for i, r in rows],
            columns=["#", kept, asked, answered],
        )
        return joined(
            pieces, say("没有原文（没有 chunks.jsonl）", "no text (no chunks.jsonl)")
        ), frame

    def applied(found: Review | None, frame: pd.DataFrame, heading: str | None) -> tuple[Any, str]:
        if found is None:
            raise page.failed(say("先选数据", "choose data first"))
        if frame.shape[1] != 4:  # the table's menu adds and deletes columns, too
            zh, en = "列不能增减：重新选这一节", "columns must stay: choose the section again"
            raise page.failed(say(zh, en))
        numbered = [row for row in frame.itertuples(index=False) if pd.notna(row[0]) and row[0]]
        try:
            # Looked through before any is changed.
            changed = {
                int(number) - 1: found.rows[int(number) - 1].changed(
                    str(keep).lower() in ("true", "1"), str(question), str(answer)
                )
                for number, keep, question, answer in numbered
            }
        except (ReviewError, ValueError, IndexError) as error:
            raise page.failed(error) from error
        for number, row in changed.items():
            found.rows[number] = row
        # A row deleted in the table is rejected, unless the table is still that of another section.
        here = {i for i, row in enumerate(found.rows) if row.place == heading}
        if changed.keys() <= here:
            for number in here - changed.keys():
                found.rows[number] = replace(found.rows[number], kept=False)
        told = _counts(page, found)
        if added := len(frame) - len(numbered):
            told += say(f" · 手工加的 {added} 行不会保存", f" · {added} added rows are not saved")
        return found, told

    def saved(
        found: Review | None, frame: pd.DataFrame, heading: str | None, stem: str
    ) -> tuple[Any, str]:
        found, counted = applied(found, frame, heading)
        folder = page.settings.root / "out" / "reviewed"
        try:
            paths = save_review(found, stem, folder)
        except (ReviewError, OSError) as error:
            raise page.failed(error) from error
        files = ", ".join(map(str, paths))
        return found, say("已写入：", "written: ") + files + " · " + counted

    private: dict[str, Any] = {"api_visibility": "private"}
    page.refreshed(source, lambda: _sources(page))
    for came in (
        source.input(opened, source, [review, section, told], **private),
        upload.upload(opened, upload, [review, section, told], **private),
    ):
        came.success(shown, [review, section], [text, table], **private)
    upload.upload(lambda: None, outputs=source, **private)
    section.input(shown, [review, section], [text, table], **private)
    shown_rows = [review, table, section]
    table.input(applied, shown_rows, [review, told], show_progress="hidden", **private)
    save.click(saved, [*shown_rows, name], [review, told], **private)


def _sources(page: Page) -> list[tuple[str, str]]:
    root = page.settings.root
    found = [
        path.parent
        for top in FOLDERS
        for depth in ("*", "*/*")  # runs/submit.sh writes out/submit/data
        for path in sorted((root / top).glob(f"{depth}/{CHUNKS_NAME}"))
    ]
    return [(path.relative_to(root).as_posix(), str(path)) for path in found]


def _counts(page: Page, review: Review) -> str:
    total, edited, rejected = review.counts()
    return page.say(
        f"{total} 对，改了 {edited}，不要 {rejected}",
        f"{total} pairs, {edited} edited, {rejected} rejected",
    )
