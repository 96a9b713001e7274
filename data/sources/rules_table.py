"""Rules over tables: what a cell says of its row, read under its heading."""

import re
from collections.abc import Iterator, Sequence

from data.records import Block
from data.sources.nouns import core, is_definable, is_term
from data.sources.rules_claims import gap, title_term
from data.text import normalise, tidy

Candidate = tuple[str, str, str]


def from_table(block: Block) -> Iterator[Candidate]:
    """Tables whose first column names things and whose header names what is said about them.

    A row is read under its heading, so the question names that: "Linux 控制台的命令" alone could
    be any command.
    """
    rows = [
        [_cell(cell) for cell in line.strip().strip("|").split("|")]
        for line in block.text.split("\n")
    ]
    if len(rows) < 3 or not re.fullmatch(r"[\s:\-|]+", block.text.split("\n")[1]):
        return
    header = rows[0]
    for row in rows[2:]:
        if len(row) != len(header) or not _is_row_name(row[0]):
            continue
        name = core(row[0])
        about = _about(block.path, name)
        for title, cell in zip(header[1:], row[1:], strict=True):
            measured = re.fullmatch(r"\d+\.\d+\s*[A-Za-z/%]*|\d+\s*[A-Za-z/%]+", cell)
            unitless = re.fullmatch(r"[\d.,]+", cell) and re.search(
                r"大小|长度|容量|延迟|时间|耗时|速度|带宽|频率$", title
            )
            if measured or unitless:  # a measurement means nothing without its experiment
                continue
            if (
                len(cell) < 2
                or re.fullmatch(r"[-—–/无×✓√\s]+|同[上左]|.*：：.*", cell)
                or about is None
            ):
                continue
            cell = re.sub(r"[。.,，、;；* ]+$", "", cell)
            if _DESCRIBES.fullmatch(title):
                if _adds_to(name, cell):
                    within = f"{about}中的" if about else ""
                    asked = f"请简要说明{gap(within or name)}{within}{gap(name)}{name}"
                    yield "explain", asked, f"{row[0]}：{cell}。"
            elif re.fullmatch(r"[\u4e00-\u9fff]{2,8}", title) and is_term(title, 8):
                number = re.match(r"[约\d]", cell)
                if number and not re.fullmatch(r"约?\s*[\d,.]+\s*\S{0,8}", cell):
                    continue
                joiner = "是" if number or re.fullmatch(r"[^，；。：、\s]{2,12}", cell) else "："
                asked = f"{name}的{title}{'是多少' if number else '是什么'}"
                within = f"关于{gap(about)}{about}，" if about else ""
                yield "fact", within + asked, f"{row[0]}的{title}{joiner}{cell}。"


# A column that describes its row as a whole, instead of naming one side of it.
_DESCRIBES = re.compile(r".{0,6}(?:描述|说明|解释|介绍|简介)|操作|动作")


def _cell(text: str) -> str:
    """A cell without Markdown's marks; they stand inside it as often as around it."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", tidy(text))
    text = re.sub(r"`|\*\*|\\(?=[|`*_])", "", text)
    return re.sub(r"(?<!\w)\*([^*\s][^*]*)\*(?!\w)", r"\1", text).strip()


def _is_row_name(text: str) -> bool:
    """An identifier, a command or a term, whole: no prompt, no open quote, no trailing colon."""
    if re.search(r"[\"“”'$:：]|^\(|^-|…$|\.\.$|^(?:N/A|无|其[他它])$", text):
        return False
    return bool(
        re.fullmatch(r"[A-Za-z_/][\w.<>()\-/+ ]{1,40}", text, re.ASCII) or is_definable(text, 20)
    )


_PLURAL = re.compile(r"^(?:各种|各类|几种|几类|常[见用]的?|主要的?)")


def _about(path: Sequence[str], name: str) -> str | None:
    """The heading that a row needs to be understood, "" where its name says enough.

    None when the heading names nothing: the row then stands without what it is about.
    """
    if re.search(r"[_/.]|[a-z][A-Z]", name) or name.lower() in title_term(path).lower():
        return ""
    titles = (
        _PLURAL.sub("", title_term(path[:end]))
        for end in range(len(path), max(len(path) - 2, 0), -1)
    )
    return next((title for title in titles if is_term(title, 20)), None)


def _adds_to(name: str, cell: str) -> bool:
    """Does a description say more than the name that it describes?"""
    return len(set(normalise(cell)) - set(normalise(name))) >= 3
