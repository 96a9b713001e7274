"""What a build writes: report, rows, test set and manifest, moved into place together."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
from data import report as reports
from data.answer_profile import gap_sentence, measure
from data.context import BuildContext
from data.formats import dataset_info, write_rows, write_testset
from data.labels import label
from data.records import Pair
from data.settings import BuildInputs, BuildSettings
from data.split import SPLITS

LIBRARIES = (
    "markitdown",
    "mammoth",
    "pypdfium2",
    "rapidocr",
    "markdown-it-py",
    "datasketch",
    "rapidfuzz",
    "jieba",
)

FEW_ROWS = 100  # of fewer a run of three epochs makes hardly 20 steps


def more_pairs(source: str) -> str:
    """How to get more pairs from a book; source: the fingerprint of what asked so far."""
    asker, level = (source.split("/") + ["", ""])[0:3:2]
    if asker in ("vllm", "teacher"):
        return either("多问几道（加大 --per-chunk）", "ask for more (a larger --per-chunk)")
    zh = (
        "让模型出题（--source vllm --model 模型目录，"
        "或 --source teacher --base-url 接口 --model 名称）"
    )
    en = (
        "let a model ask (--source vllm --model DIRECTORY, or --source teacher --base-url URL "
        "--model NAME)"
    )
    if asker == "rules" and level != "all":
        wider = "all" if level == "wide" else "wide"
        zh += f"，或放宽规则（--rules {wider}：题更多，合格的更少）"
        en += f", or loosen the rules (--rules {wider}: more pairs, fewer of them good)"
    return either(zh, en)


def few_rows(count: int, source: str) -> str:
    """What to do about so few train rows; source: the fingerprint of what made them."""
    more = more_pairs(source)
    zh, en = f"给更长的书，{more}", f"give it a longer book, {more}"
    if source.split("/")[0::2][:2] == ["rules", "strict"]:
        zh = f"严的规则一本书只出很少的题：{zh}"
        en = f"strict rules ask a few pairs a book: {en}"
    return either(
        f"训练只有 {count} 行，学不到多少东西：{zh}，或者加上已有的问答（--merge）",
        f"only {count} rows to train on, which teach little: {en}, or add pairs you have (--merge)",
    )


def make_report(
    context: BuildContext,
    splits: dict[str, list[Pair]],
    pairs: list[Pair],
    found_leaks: list[dict[str, Any]],
    tests: Sequence[tuple[str, list[tuple[str, str]]]],
    rows: dict[str, Any],
) -> dict[str, Any]:
    """The report as it is written to report.json; warnings about files come later.

    `pairs` are those of all splits before paraphrasing; `tests` are name and pairs of the test
    sets whose figures stand beside theirs; `rows` says where the train rows come from.
    """
    funnel, tokens = context.funnel, context.count_tokens
    kinds = Counter(pair.kind for pair in pairs)
    data = reports.describe([(p.question, p.answer) for p in pairs], tokens)
    compared = tests[0] if tests else None
    trained = measure([pair.answer for pair in splits["train"]]) if tests else None
    profiles = [(name, measure([a for _, a in wanted])) for name, wanted in tests]
    gaps = [told for name, wanted in profiles if (told := gap_sentence(trained, wanted, name))]
    return {
        "name": _title(funnel.books),
        "source": context.source.fingerprint,
        "books": funnel.books,
        "skipped": funnel.skipped,
        "splits": {split: len(rows) for split, rows in splits.items()},
        "facts": {split: len({p.group for p in rows}) for split, rows in splits.items()},
        "rows": rows,
        "profiles": trained
        and {
            "train": trained.to_dict(),
            "testsets": [{"name": name, **wanted.to_dict()} for name, wanted in profiles],
        },
        "funnel": funnel.steps(context.filters.dropped),
        "usage": _usage(context),
        "dropped": [
            *context.filters.dropped.rows("cleaning"),
            *funnel.reviewed.rows("review"),
            *funnel.duplicates.rows("near-duplicates"),
            *funnel.leaks.rows("leaks"),
        ],
        "wordings": sum(len(pair.wordings) for pair in pairs),
        "coverage": reports.coverage(funnel.sections, funnel.parts, pairs),
        "kinds": dict(kinds.most_common()),
        "kinds_max": max(kinds.values(), default=1),
        "data": data,
        "compared": compared
        and {"name": compared[0], "data": reports.describe(compared[1], tokens)},
        "length_rows": [k for k in data if k not in ("answer_histogram", "pairs")],
        "leaks": found_leaks,
        "passages": {},
        "like": {},
        "samples": reports.samples(pairs),
        "reading": funnel.reading(),
        "warnings": [
            *funnel.skipped_why,
            *funnel.reading_warnings(),
            *gaps,
        ],
    }


def _usage(context: BuildContext) -> dict[str, Any] | None:
    """Calls, tokens and cost of the pairs, whenever they were made; None where nothing was paid."""
    usage = getattr(context.source, "usage", None)
    calls, prompt, answer = context.funnel.usage
    if usage is None or not calls:
        return None
    cost = round(usage.cost(prompt, answer), 6)
    return {"calls": calls, "prompt_tokens": prompt, "answer_tokens": answer, "cost": cost}


def write_files(
    work: Path, splits: dict[str, list[Pair]], report: dict[str, Any], settings: BuildSettings
) -> list[str]:
    """Write all files of a build but the manifest; returns warnings for the report."""
    warnings = []
    for name in SPLITS:
        write_rows(work / f"{name}.jsonl", splits[name], settings.shape, settings.system)
        if not splits[name]:
            warnings.append(
                either(
                    f"{name}（{label(name)}）是空的：教材的小节太少，分不出来",
                    f"{name} is empty: the books have too few sections to share out",
                )
            )
    info = dataset_info(settings.shape, system=settings.system)
    (work / "dataset_info.json").write_text(_json(info), encoding="utf-8")
    if splits["dev"]:
        lost = write_testset(work / "testset.docx", splits["dev"])
        if lost:
            warnings.append(
                either(
                    f"testset.docx 少了 {len(lost)} 个它的版式放不下的问答",
                    f"testset.docx leaves out {len(lost)} pairs that its layout cannot hold",
                )
            )
    if len(splits["train"]) < FEW_ROWS:
        warnings.append(few_rows(len(splits["train"]), report["source"]))
    report = {**report, "warnings": report["warnings"] + warnings}
    (work / "report.json").write_text(_json(report), encoding="utf-8")
    (work / "report.html").write_text(reports.render_html(report), encoding="utf-8")
    return warnings


def write_figures(work: Path, figures: list[dict[str, Any]]) -> None:
    """figures.jsonl: image, caption, number and section of each picture of the books."""
    lines = [json.dumps(figure, ensure_ascii=False) + "\n" for figure in figures]
    (work / "figures.jsonl").write_text("".join(lines), encoding="utf-8")


def _title(books: Sequence[str]) -> str:
    return ", ".join(books[:5]) + (" …" if len(books) > 5 else "")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def make_manifest(
    work: Path, context: BuildContext, inputs: BuildInputs, index: Manifest | None = None
) -> Manifest:
    """Manifest of the files in `work`: books and merged pairs in, settings, counts. index: of the
    passages before the questions."""
    funnel, settings = context.funnel, context.settings
    chosen = settings.model_dump(mode="json")
    chosen["tokenizer"] = settings.tokenizer.name if settings.tokenizer else None
    chosen["source"] = context.source.fingerprint
    chosen["like"] = inputs.like.name if inputs.like else None
    chosen["excluded"] = {path.name: file_record(path).sha256 for path in inputs.excluded}
    if context.to_compose:
        chosen["to_compose"] = True  # until `data compose` adds "composed", `train` warns
    if inputs.with_passages is None:
        del chosen["passages"]
    files = [path for path in [*inputs.books, *inputs.merge] if path.is_file()]
    return Manifest(
        stage="data",
        demo=settings.demo,
        name=_title(funnel.books),
        inputs=[file_record(path) for path in files],
        outputs=directory_records(work),
        settings=chosen,
        counts={
            "chunks": funnel.chunks,
            "made": funnel.made,
            "kept": funnel.distinct - funnel.leaked,
        },
        versions=library_versions(LIBRARIES),
        parents=[index] if index else [],
    )


def publish(work: Path, out: Path, manifest: Manifest) -> bool:
    """Move new files to `out`; says whether anything differs from what was there.

    An unchanged build keeps its old manifest, time stamp and all.
    """
    old = read_manifest(out) if (out / MANIFEST_NAME).is_file() else None
    same = old is not None and all(
        getattr(old, name) == getattr(manifest, name)
        for name in ("inputs", "outputs", "settings", "counts", "versions", "parents")
    )
    if same and directory_records(out) == manifest.outputs:
        return False
    out.mkdir(parents=True, exist_ok=True)
    for old_file in [*(f"{name}.jsonl" for name in SPLITS), "testset.docx"]:
        (out / old_file).unlink(missing_ok=True)
    for path in sorted(work.iterdir()):
        path.replace(out / path.name)
    write_manifest(out, manifest)
    return True
