"""对比: one question, two to four models side by side, blind or named, and a vote."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from chat.asking import SHOWN_EVERY_S, Reply, Sampling, ask
from chat.errors import LoadError, NotLoadedError
from chat.listing import quick_first
from chat.page.context import Page
from chat.votes import VOTES_NAME, save_vote, votes

MOST = 4
LETTERS = "ABCD"


def build(page: Page) -> None:
    """The tab."""
    say = page.say
    with gr.Row(equal_height=True):
        models = page.model_dropdown(
            multiselect=True, max_choices=MOST, value=None, scale=3, elem_id="compare-models"
        )
        gr.on(
            None,
            lambda: gr.update(choices=page.model_choices(), value=quick_first(page.registry)[:2]),
            outputs=models,
            api_visibility="private",
        )
        blind = gr.Checkbox(
            True, label=say("盲评", "blind"), info=say("投票后才显示名字", "names after the vote")
        )
        with_book = gr.Checkbox(
            False, label=say("翻书", "with the book"), interactive=page.book is not None
        )
        longest = page.most_tokens()
    with gr.Row(elem_classes="bottom"):
        question = gr.Textbox(
            label=say("问题", "question"),
            lines=2,
            scale=6,
            max_length=20_000,
            elem_id="compare-question",
        )
        go = gr.Button(say("一起问", "ask all"), variant="primary", scale=0, min_width=110)
        stop = gr.Button(say("停止", "stop"), scale=0, min_width=110)
    columns, answers, speeds = [], [], []
    with gr.Row(equal_height=False, elem_id="answers"):
        for letter in LETTERS:
            with gr.Column(min_width=260, visible=letter in "AB") as column:
                answers.append(
                    gr.Textbox(
                        label=letter, lines=14, max_lines=30, interactive=False, buttons=["copy"]
                    )
                )
                speeds.append(page.line())
            columns.append(column)
    with gr.Row(elem_classes="bottom"):
        vote = gr.Radio(
            _vote_choices(page, 2), label=say("哪个更好？", "which is better?"), interactive=False
        )
        cast = gr.Button(say("投票", "vote"), scale=0, min_width=110, interactive=False)
    said = page.line()
    asked = gr.State({})

    async def run(
        names: list[str], text: str, hidden: bool, book: bool, most: float
    ) -> AsyncIterator[list[Any]]:
        if not 2 <= len(names) <= MOST:
            need = say("选两到四个模型", "choose two to four models")
            raise page.failed(page.no_models() or need)
        if not text.strip():
            raise page.failed(say("先写问题", "write a question first"))
        order = random.sample(names, len(names)) if hidden else list(names)
        shown = [i < len(order) for i in range(MOST)]
        labels = [LETTERS[i] if hidden else name for i, name in enumerate(order)]
        replies = [Reply(name) for name in order]

        def state(done: bool, waiting: str = "") -> list[Any]:
            texts: list[Any] = [gr.skip()] * MOST
            lines: list[Any] = [gr.skip()] * MOST
            for i, reply in enumerate(replies):
                texts[i] = gr.update(value=reply.text, label=labels[i])
                # An error would give the name away.
                lines[i] = page.speed(reply)
            told = {"names": order, "question": text, "blind": hidden}
            told["answers"] = [reply.text for reply in replies]
            return [
                *(gr.update(visible=each) for each in shown),
                *texts,
                *lines,
                gr.update(choices=_vote_choices(page, len(order)), value=None, interactive=done),
                gr.update(interactive=done),
                told if done else {},
                "" if done else waiting or say("正在回答 …", "answering …"),
            ]

        # A name would tell who is who; how many are loaded does not.
        later = len(set(names) - set(page.registry.names()))
        zh, en = f"正在加载 {later} 个，各约一分钟 …", f"loading {later}, about a minute each …"
        yield state(False, say(zh, en) if later else "")
        # All are there before the first is asked, so that their times can be compared.
        try:
            for name in order:
                await page.registry.target(name, load=True)
        except (NotLoadedError, LoadError) as error:
            yield state(False, say("没有提问：有模型加载不了", "not asked: a model does not load"))
            raise page.failed(error) from error

        async def follow(i: int, name: str) -> None:
            sent = text
            if book and page.book:
                target = await page.registry.target(name, load=True)
                sent, _ = page.book.asked_of(target, text, ())
            async for reply in ask(page.registry, name, sent, (), None, Sampling(0, 1, int(most))):
                replies[i] = reply

        tasks = [asyncio.create_task(follow(i, name)) for i, name in enumerate(order)]
        try:
            while not all(task.done() for task in tasks):
                await asyncio.wait(tasks, timeout=SHOWN_EVERY_S)
                yield state(False)
            await asyncio.gather(*tasks)
        finally:  # stopped: the engines need not go on
            for task in tasks:
                task.cancel()
        yield state(True)

    def voted(told: dict[str, Any], choice: str | None) -> tuple[str, Any, Any]:
        if not told or not choice:
            raise page.failed(say("先提问，再选一个", "ask first, then choose"))
        names = told["names"]
        winner = names[LETTERS.index(choice)] if choice in LETTERS else choice
        save_vote(page.settings.report_dir, told, winner)
        result = ", ".join(f"{LETTERS[i]} = {name}" for i, name in enumerate(names))
        where = page.settings.report_dir / VOTES_NAME
        tally = votes(page.settings.report_dir)
        table = ", ".join(f"{name} {count}" for name, count in tally.items())
        text = say(
            f"{result}。已记入 {where}；到现在：{table}",
            f"{result}. Saved in {where}; so far: {table}",
        )
        return text, gr.update(interactive=False), gr.update(interactive=False)

    outputs = [*columns, *answers, *speeds, vote, cast, asked, said]
    inputs = [models, question, blind, with_book, longest]
    options: dict[str, Any] = {"concurrency_limit": None, "api_visibility": "private"}
    events = [
        go.click(run, inputs, outputs, show_progress="hidden", **options),
        question.submit(run, inputs, outputs, show_progress="hidden", **options),
    ]
    stop.click(None, cancels=events, api_visibility="private")
    cast.click(voted, [asked, vote], [said, vote, cast], api_visibility="private")


def _vote_choices(page: Page, count: int) -> list[tuple[str, str]]:
    letters = [(letter, letter) for letter in LETTERS[:count]]
    return [
        *letters,
        (page.say("一样好", "equally good"), "tie"),
        (page.say("都不好", "none is good"), "none"),
    ]
