"""报告: the judge's reports and comparisons, question by question, differences marked."""

from typing import Any

import gradio as gr
import pandas as pd
from markupsafe import Markup

from chat.page.context import Page, joined
from chat.reports import Asked, Report, beside, find_reports, questions_of
from chat.verdict import verdict
from judging.differences import LONGEST_TEXT, Piece, differences


def build(page: Page) -> None:
    """The tab."""
    say = page.say
    wanted_rows = gr.Textbox(  # Gradio's own filter speaks English alone
        placeholder=say("筛选：模型、题集、时间 …", "filter: model, test set, time …"),
        show_label=False,
        container=False,
    )
    overview = gr.Dataframe(
        lambda: _overview(page),  # anew whenever the page is opened
        label=say("全部报告（点列名排序）", "all reports (a click on a heading sorts)"),
        interactive=False,
        max_height=260,
        wrap=True,
    )
    with gr.Row():
        chosen = gr.Dropdown(_names(page), value=None, label=say("看哪一份", "report"), scale=2)
        other = gr.Dropdown(
            _names(page),
            value=None,
            label=say("并排比较（可不选）", "beside it (optional)"),
            scale=2,
        )
        text = gr.Textbox(label=say("题目或回答里有", "question or answer holds"))
        order = gr.Dropdown(
            [
                (say("低分在前", "lowest first"), "low"),
                (say("高分在前", "highest first"), "high"),
                (say("差别大的在前", "greatest difference"), "difference"),
                (say("原来的顺序", "as asked"), "file"),
            ],
            value="low",
            label=say("排序", "order"),
        )
    told = page.line(lambda: _no_reports(page), most=12)
    listing = gr.Dataframe(
        headers=["#", say("问题", "question"), say("得分", "score")],
        label=say("题目（点一行看详情）", "questions (click a row)"),
        interactive=False,
        max_height=300,
        column_widths=["6%", "60%", "34%"],
        wrap=True,
    )
    detail = gr.HTML(joined([], say("先选报告，再点一道题", "choose a report, then a question")))
    rows = gr.State([])

    def looked_up(one: str, two: str, wanted: str, how: str) -> tuple[Any, Any, str]:
        if not one:
            return gr.skip(), [], ""
        try:
            reports, found = _joined(page, [name for name in (one, two) if name])
        except (ValueError, OSError) as error:
            raise page.failed(error) from error
        said = say(*verdict(reports, found))
        words = wanted.strip().lower()
        found = [asked for asked in found if words in _everything(asked)]
        if how != "file":
            keys = {
                "low": lambda a: min(a.scores.values()),
                "high": lambda a: -max(a.scores.values()),
                "difference": lambda a: min(a.scores.values()) - max(a.scores.values()),
            }
            found.sort(key=keys[how])
        table = pd.DataFrame(
            {
                "#": range(1, len(found) + 1),
                say("问题", "question"): [asked.question for asked in found],
                _scores_of(page, found): [
                    " · ".join(f"{value:.2f}" for value in asked.scores.values()) for asked in found
                ],
            }
        )
        return table, found, said

    def opened(found: list[Asked], event: gr.SelectData) -> Markup:
        # The row's number in the list, which sorting in the browser does not change.
        number = int(event.row_value[0]) - 1
        return _detail(page, found[number])

    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    for component in (chosen, other, text, order):
        component.change(looked_up, [chosen, other, text, order], [listing, rows, told], **private)
    listing.select(opened, rows, detail, **private)
    for component in (chosen, other):
        page.refreshed(component, lambda: _names(page))
    wanted_rows.change(lambda words: _overview(page, words), wanted_rows, overview, **private)
    chosen.focus(lambda words: _overview(page, words), wanted_rows, overview, **private)


def _no_reports(page: Page) -> str:
    """What to do where there is nothing to show; "" where there is something."""
    if _names(page):
        return ""
    return page.say(
        "还没有报告：bash run.sh 测试集.docx 评测一次，就有了。",
        "No report yet: bash run.sh TESTSET.docx judges a model and writes one.",
    )


def _scores_of(page: Page, found: list[Asked]) -> str:
    """The heading of the scores: whose is which, where there are several."""
    models = dict.fromkeys(model for asked in found for model in asked.scores)
    models = [model.split(" (report/")[0] for model in models]
    told = page.say("得分", "score")
    return told if len(models) < 2 else f"{told} {' · '.join(models)}"


def _joined(page: Page, names: list[str]) -> tuple[list[Report], list[Asked]]:
    """The reports, and the questions of the first with the second one's answers."""
    there = {report.id: report for report in find_reports(page.settings.root)[0]}
    reports = [there[name] for name in names]
    found = questions_of(reports[0])
    for report in reports[1:]:
        found = beside(found, questions_of(report), report.id)
    return reports, found


def _detail(page: Page, asked: Asked) -> Markup:
    say = page.say
    reference = Markup('<div class="piece"><b>{}</b><pre>{}</pre></div>').format(
        say("参考答案", "reference"), asked.reference
    )
    parts = [
        Markup("<h3>{}</h3><p class='quiet'>{}</p>").format(
            asked.question, " › ".join(filter(None, (asked.testset, asked.section)))
        ),
        reference,
    ]
    for model, answer in asked.answers.items():
        missed, given = differences(asked.reference, answer)
        cut = max(len(answer), len(asked.reference)) > LONGEST_TEXT
        parts.append(
            Markup('<div class="piece"><b>{} · {:.3f}</b><pre>{}</pre>').format(
                model, asked.scores[model], _marked(given, "stray")
            )
            + Markup('<span class="quiet">{}</span><pre class="missed">{}</pre>{}</div>').format(
                say("参考答案里有而这里没有的：", "in the reference and not here:"),
                _marked(missed, "missing"),
                say(f"只比较前 {LONGEST_TEXT} 字", f"first {LONGEST_TEXT} compared") if cut else "",
            )
        )
    legend = say(
        "红色：参考答案没有的词；绿色：漏掉的词；下划线：评测机计分的词",
        "red: not in the reference; green: missed; underlined: what the judge counts",
    )
    parts.append(Markup('<p class="quiet">{}</p>').format(legend))
    return joined(parts, "")


def _marked(pieces: list[Piece], mark: str) -> Markup:
    shown = []
    for piece in pieces:
        if piece.differs:
            kind = f"{mark} counts" if piece.counts else mark
            shown.append(Markup('<mark class="{}">{}</mark>').format(kind, piece.text))
        else:
            shown.append(Markup("{}").format(piece.text))
    return Markup("").join(shown)


def _overview(page: Page, words: str = "") -> pd.DataFrame:
    """All reports, or those that hold every one of these words in some column."""
    say = page.say
    reports, problems = find_reports(page.settings.root)
    table = [_row(page, report, numbers) for report in reports for numbers in report.numbers]
    table += [[problem, *[""] * 7] for problem in problems]
    for word in words.lower().split():
        table = [row for row in table if any(word in str(cell).lower() for cell in row)]
    columns = [
        say("报告", "report"),
        say("时间", "time"),
        say("模型", "model"),
        say("题集", "test set"),
        say("准确率（95 %）", "accuracy (95 %)"),
        say("上限", "ceiling"),
        say("复述问题", "echo"),
        say("字符/秒", "characters/s"),
    ]
    return pd.DataFrame(table, columns=columns)


def _row(page: Page, report: Report, numbers: dict[str, Any]) -> list[Any]:
    demo = page.say("（演示）", " (demo)") if report.demo else ""
    return [
        report.id,
        report.created[:16].replace("T", " "),
        str(numbers["model"]) + demo,
        numbers["testset"],
        _figure(numbers["score"])
        + (f" ± {_figure(numbers['margin'])}" if numbers["margin"] is not None else "")
        + (page.say("，判失败", ", failed") if report.failures else ""),
        *(_figure(numbers[key]) for key in ("ceiling", "echo")),
        None if numbers["speed"] is None else round(numbers["speed"]),
    ]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _everything(asked: Asked) -> str:
    return "\n".join([asked.question, asked.reference, *asked.answers.values()]).lower()


def _names(page: Page) -> list[tuple[str, str]]:
    return [
        (f"{report.id} · {', '.join(report.models)}", report.id)
        for report in find_reports(page.settings.root)[0]
    ]
