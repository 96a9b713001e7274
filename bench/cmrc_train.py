"""CMRC 2018's questions as data and index for `train reranker` and `train retriever`.

    python -m bench.cmrc_train cmrc2018/squad-style-data/cmrc2018_train.json OUT
    python -m train reranker train/recipes/retrieval/reranker.yaml model_name_or_path=ENCODER \
        dataset_dir=OUT/data index_dir=OUT/index heading_questions=false

10,142 questions: enough to teach an encoder's body to rank, which the few hundred of one book are
not. The dev set, which `bench.cmrc` asks, is another file.
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from retrieval.passages import Passage, write_passages
from retrieval.search import SPARSE_DIR
from retrieval.sparse import write_sparse_index

DEV_EVERY = 20  # one article in so many is kept to choose the checkpoint by


def main(
    source: Annotated[Path, typer.Argument(help="a squad-style file of the repository")],
    out: Annotated[Path, typer.Argument(help="data/ and index/ go here")],
) -> None:
    """Write OUT/data and OUT/index."""
    passages: list[Passage] = []
    rows: dict[str, list[str]] = {"train": [], "dev": []}
    at = 0
    for number, article in enumerate(json.loads(source.read_text(encoding="utf-8"))["data"]):
        split = "train" if number % DEV_EVERY else "dev"
        for paragraph in article["paragraphs"]:
            text, path = paragraph["context"], (article["title"], article["id"])
            passage = Passage(str(len(passages)), source.name, path, at, at + len(text), text)
            passages.append(passage)
            rows[split] += [
                json.dumps(
                    {
                        "question": each["question"],
                        "answer": each["answers"][0]["text"],
                        "book": passage.book,
                        "path": path,
                        "span": [passage.start, passage.end],
                    },
                    ensure_ascii=False,
                )
                for each in paragraph["qas"]
            ]
            at = passage.end + 1
    for folder in (out / "data", out / "index"):
        folder.mkdir(parents=True, exist_ok=True)
    for split, lines in rows.items():
        text = "\n".join(lines) + "\n"
        (out / "data" / f"{split}.jsonl").write_text(text, encoding="utf-8")
    write_passages(out / "index", passages)
    write_sparse_index([p.indexed_text for p in passages], out / "index" / SPARSE_DIR)
    counts = ", ".join(f"{len(lines):,} {split}" for split, lines in rows.items())
    print(f"{out}: {counts} questions, {len(passages):,} passages")


if __name__ == "__main__":
    typer.run(main)
