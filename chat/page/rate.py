"""人工评分: answers of the judge's reports rated by people, blind and in random order."""

import re
from typing import Any

import gradio as gr

from chat.page.context import Page
from chat.ratings import (
    CRITERIA,
    HIGHEST,
    LOWEST,
    RATINGS_NAME,
    Answer,
    Rating,
    RatingsError,
    agreement,
    in_order,
    read,
    sample,
    save,
)
from chat.reports import find_reports, questions_of

NAMES = {
    "helpful": ("有用：解答了问题吗？", "helpful: does it answer?"),
    "relevant": ("切题：说的是所问的吗？", "relevant: is it about the question?"),
    "concise": ("简洁：没有多余的话吗？", "concise: nothing superfluous?"),
    "coherent": ("通顺：读得懂、前后一致吗？", "coherent: clear, without contradiction?"),
}


def build(page: Page) -> None:
    """The tab."""
    say = page.say
    with gr.Row(elem_classes="bottom"):
        rater = gr.Textbox(label=say("评分人", "rater"), max_length=40, min_width=140)
        sources = gr.Dropdown(
            _report_names(page),
            multiselect=True,
            label=say("评哪些报告里的回答", "answers of these reports"),
            scale=3,
        )
        count = gr.Slider(1, 200, 20, step=1, label=say("几道题", "questions"))
        start = gr.Button(
            say("开始 / 继续", "start / resume"), variant="primary", scale=0, min_width=190
        )
    page.refreshed(sources, lambda: _report_names(page))
    how = say(
        "写下名字，选报告，点“开始”；停下以后用同一个名字继续。",
        "Write your name, choose reports and start; the same name resumes later.",
    )
    none = say(
        "还没有报告可评：先 bash run.sh 测试集.docx 评测一次。",
        "No report to rate yet: judge a model first with bash run.sh TESTSET.docx.",
    )
    progress = page.line(lambda: how if _report_names(page) else none)
    with gr.Row(equal_height=False):
        with gr.Column(scale=3):
            question = gr.Textbox(label=say("问题", "question"), interactive=False, lines=2)
            answer = gr.Textbox(
                label=say("回答", "answer"), interactive=False, lines=10, max_lines=30
            )
            with gr.Accordion(say("参考答案", "reference answer"), open=False):
                reference = gr.Textbox(show_label=False, interactive=False, lines=5, max_lines=20)
        with gr.Column(scale=2):
            marks = [
                gr.Radio(list(range(LOWEST, HIGHEST + 1)), label=say(*NAMES[name]))
                for name in CRITERIA
            ]
            next_one = gr.Button(say("保存，下一个", "save, next"), variant="primary")
    with gr.Accordion(say("评分人之间的一致性", "agreement between raters"), open=False):
        show = gr.Button(say("计算", "compute"), size="sm")
        table = gr.Dataframe(
            headers=[
                say("标准", "criterion"),
                say("共同评过的回答", "answers in common"),
                "Cohen κ",
                say("完全相同", "equal marks"),
            ],
            interactive=False,
        )
    queue = gr.State([])
    shown = [queue, progress, question, answer, reference, *marks]

    def following(waiting: list[Answer], done: int) -> list[Any]:
        total = len(waiting) + done
        where = page.settings.report_dir / RATINGS_NAME
        told = say(f"已评 {done} / {total}，存于 {where}", f"{done} of {total} rated, in {where}")
        if not waiting:
            told = say("全部评完，谢谢！", "all rated, thank you! ") + told
        texts = [waiting[0].question, waiting[0].answer, waiting[0].reference] if waiting else [""]
        texts += [""] * (3 - len(texts))
        # Tuples do not survive in a session's state; the answers are plain.
        return [(waiting, done), told, *texts, *[None] * len(CRITERIA)]

    def begin(who: str, names: list[str], most: float) -> list[Any]:
        if not who.strip():
            raise page.failed(say("先写评分人的名字", "write the rater's name first"))
        if not names:
            raise page.failed(say("选至少一份报告", "choose a report"))
        try:
            answers = in_order(sample(answers_of(page, names), int(most)), who.strip())
            rated = {r.answer.id for r in read(page.settings.report_dir) if r.rater == who.strip()}
        except (ValueError, OSError) as error:
            raise page.failed(error) from error
        waiting = [each for each in answers if each.id not in rated]
        return following(waiting, len(answers) - len(waiting))

    def keep(state: Any, who: str, *given: int | None) -> list[Any]:
        waiting, done = state or ([], 0)
        if not waiting:
            raise page.failed(say("先点“开始”", "start first"))
        if None in given:
            raise page.failed(say("四项都要评", "all four need a mark"))
        chosen = dict(zip(CRITERIA, map(int, given), strict=True))
        try:
            save(page.settings.report_dir, Rating(who, waiting[0], chosen))
        except (RatingsError, OSError) as error:
            raise page.failed(error) from error
        return following(waiting[1:], done + 1)

    def agreed() -> list[list[Any]]:
        try:
            rows = agreement(read(page.settings.report_dir))
        except (ValueError, OSError) as error:
            raise page.failed(error) from error
        names = {key: re.split("[:：]", say(*NAMES[key]))[0] for key in CRITERIA}
        return [
            [names[row.criterion], row.answers, *map(_figure, (row.kappa, row.same))]
            for row in rows
        ]

    private: dict[str, Any] = {"api_visibility": "private"}
    start.click(begin, [rater, sources, count], shown, **private)
    next_one.click(keep, [queue, rater, *marks], shown, **private)
    show.click(agreed, outputs=table, **private)


def answers_of(page: Page, names: list[str]) -> list[Answer]:
    """The answers of these reports. Raises ValueError for one that cannot be read, OSError."""
    reports, _ = find_reports(page.settings.root)
    chosen = [report for report in reports if report.id in names]
    return [
        Answer(asked.testset, asked.question, asked.reference, text, f"{report.id}|{model}")
        for report in chosen
        for asked in questions_of(report)
        for model, text in asked.answers.items()
        if text.strip()
    ]


def _report_names(page: Page) -> list[str]:
    return [report.id for report in find_reports(page.settings.root)[0]]


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
