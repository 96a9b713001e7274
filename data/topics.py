"""What a book is about, as its titles name it: "CUDA", "深度学习".

A question about a bare word (什么是节点？) has to say of which field the word is. The field stands
in the book's title, in the name of its folder or in the heading of a chapter; it counts only where
the text below goes on to speak of it.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from common.text_encodings import decode

_MARKDOWN = (".md", ".markdown")
_HEADING = re.compile(r"^#{1,4}\s+(.+?)\s*#*$", re.M)
_FENCE = re.compile(r"^(```+|~~~+).*?^\1[`~]*\s*$", re.M | re.S)
_NUMBER = re.compile(
    r"^(?:第\s*[一二三四五六七八九十百\d]+\s*[章节篇部讲课]|附录\s*[A-Z]?|[A-Z](?:\.\d+)+|[\d.]+|[一二三四五六七八九十]+、|※)\s*[.、：:]?\s*"
)
# Not one half of TCP/IP or CI/CD: what belongs to both is no matter of one of them.
_LATIN = re.compile(
    r"(?<![A-Za-z0-9])(?<![A-Z]{2}/)(?![A-Z]{2,}/[A-Z]{2})"
    r"[A-Z][A-Za-z0-9+#]*(?:\.js)?(?: (?:C\+\+|Boot|Cloud|SQL))?"
)
_WORDS = re.compile(r"[A-Z]?[a-z][a-z0-9+#]+(?![a-z])|[A-Z][A-Za-z0-9+#]+")
_CHINESE = re.compile("[\u4e00-\u9fff]{3,}")
# Words of titles that name the sort of book and not its field.
_SORT_OF_BOOK = re.compile(
    r"动手学|深入理解|深入浅出|浅出|深入|轻松|快速|从零开始学?|从入门到\S{2}|零基础|大话|图解|实用|高级|现代|完全|权威|最新|官方|中文版?|简明|学习笔记"
    r"|教程|教科书|教材|指南|手册|入门|基础|实战|实践|进阶|精通|笔记|文档|详解|简介|介绍|概述|概念|知识|导论|导读|总结|面试题?|编程|设计和实现|设计与实现|程序设计|第.版|之路|综合|序言|前言|目录|与$|和$"
)
_NO_FIELD = frozenset(
    """api apis faq readme cli sdk ui id url pdf md introduction overview summary the a an how what
    why todo docs doc tutorial tutorials guide guides handbook book books notes note practice
    practise zh cn chinese course en example examples dive into index home main master learning
    hello web demo test my awesome getting started quick start part chapter in of to and for with
    on by from basic basics advanced concepts concept intro preface new other others about using
    src chapters pages posts text use setup install programming github wiki tips learn way complete
    source content blog repo get post put delete head select
    memory asynchronous synchronous runtime function functions data stream streams restrictions
    compute synchronization table element object code string error errors type types class value
    key file files list set map array number key model models method methods operator operators
    lab controller field counter protocol broker server client channel service
    deep tiny hub vs if else for while null true false yes no
    """.split()  # noqa: SIM905 - reads better than a list
)
_SHORT = {
    "cpp": "C++",
    "csharp": "C#",
    "golang": "Go",
    "js": "JavaScript",
    "ts": "TypeScript",
    "py": "Python",
    "k8s": "Kubernetes",
    "es": "Elasticsearch",
    "pg": "PostgreSQL",
}
LEAST = 3  # mentions below a title, and headings that name a chapter's field
FOLDER_LEAST = 8  # folders hold files on other things as well
MOST_FILES = 0.25  # share of a folder's files that mention what the folder is about
FAR_MORE = 4  # a chapter on RocketMQ in a book on Java speaks of Java, too


class Topics:
    """The titles of one run's books, and the topics of a place in one of them."""

    def __init__(self, books: Sequence[Path]) -> None:
        """books: all files of the run. Of Markdown files the text is looked through once."""
        self._headings: Counter[str] = Counter()
        self._several = len(books) > 1
        self._root = _common_folder(books) if self._several else None
        self._titles = _folder_titles(self._root, books) if self._root else []
        self._everywhere: set[str] = set()
        if self._several:
            self._look_through([path for path in books if _is_markdown(path)])

    def _folders(self, file: Path) -> Sequence[str]:
        """Names of the folders between the one that holds all books and a file."""
        if self._root is None:
            return ()
        return file.resolve().parent.relative_to(self._root).parts

    def _look_through(self, files: Sequence[Path]) -> None:
        mentions: Counter[str] = Counter()
        for path in files:
            prose = _prose(path)
            titles = _HEADING.findall(prose)
            self._headings.update({name for title in titles for name in latin(title)})
            names = {name for title in self._titles for name in _of_title(title, prose)}
            mentions.update(name for name in names if re.search(_whole(name), prose))
        least = MOST_FILES * len(files)
        self._everywhere = {name for name, count in mentions.items() if count >= least}

    def of(
        self, file: Path, text: str, paths: Iterable[tuple[str, ...]]
    ) -> Callable[[Sequence[str], str], tuple[str, ...]]:
        """For one file: its Markdown `text` and all its heading paths → (path, part → topics).

        Of a part of the text there is what the book is called; before it stands what the chapter
        is called where the file speaks far more often of that. In a folder, which may hold files
        on other things, the part itself has to mention the topic.
        """
        prose = _FENCE.sub("", text)
        paths = list(dict.fromkeys(paths))
        titles = list(self._titles)
        alone = not (self._several and _is_markdown(file))
        if alone:  # a book of its own
            outermost = list(dict.fromkeys(path[0] for path in paths if path))
            titles.append(file.stem)
            # The first of several chapters names the book only where it names something.
            titles += outermost if len(outermost) == 1 else latin(" ".join(outermost[:1]))
        own = Counter(n for path in paths for n in set(_alone(" ".join(path[-1:]))))
        headings = own if alone else self._headings
        counts: dict[str, int] = {}

        def count(name: str) -> int:
            if name not in counts:
                counts[name] = len(re.findall(_whole(name), prose))
            return counts[name]

        named = [name for title in titles for name in _of_title(title, prose)]
        named += [name for name in self._everywhere if name not in named]
        named = [n for n in named if n in self._everywhere or count(n) >= LEAST]
        named = sorted(dict.fromkeys(named), key=lambda n: (not n.isascii(), -count(n)))

        folders = [n for name in self._folders(file) for n in _of_title(name, prose)]

        def topics(path: Sequence[str], part: str) -> tuple[str, ...]:
            found = [n for title in path for n in _alone(title) if headings[n] >= LEAST]
            found += [n for n in own if own[n] >= LEAST and path and _opens(path[0], n)]
            found += [n for n in folders if n.isascii() and count(n) >= FOLDER_LEAST]
            # PD, IO, VL: two letters name a field only where the whole book is about it.
            found = [n for n in found if len(n) > 2 or n in _SHORT.values()]
            chapter = sorted(
                {n for n in found if count(n) >= LEAST and n not in named}, key=lambda n: -count(n)
            )
            nearer = bool(chapter) and (
                not named
                or not named[0].isascii()
                or count(chapter[0]) >= FAR_MORE * max(1, count(named[0]))
            )
            found = [*chapter[:1], *named[:2]] if nearer else named[:2]
            said = " ".join([part, *path])
            return tuple(n for n in found if alone or re.search(_whole(n), said))

        return topics


def latin(title: str) -> list[str]:
    """Proper names in Latin letters: capitalised, and no word of every title.

    >>> latin("2.1 CUDA C++ 编程模型")
    ['CUDA C++']
    """
    bare = re.sub(r"[（(][^（）()]*[）)]", "", title)  # 停用词（Stopwords）is not about Stopwords
    found = [match.group().strip() for match in _LATIN.finditer(bare)]
    return [n for n in found if n.lower() not in _NO_FIELD and len(n) > 1]


def _alone(title: str) -> list[str]:
    """Names that are no part of a longer one: not Pool of "Buffer Pool", not Next of Next-Key."""
    return [
        n
        for n in latin(title)
        if re.search(rf"(?<![A-Za-z0-9][ \-]){re.escape(n)}(?![ \-][A-Za-z])", title)
    ]


def _opens(title: str, name: str) -> bool:
    return _NUMBER.sub("", title).startswith(name)


def _is_markdown(path: Path) -> bool:
    return path.suffix.lower() in _MARKDOWN


def _prose(path: Path) -> str:
    """A Markdown file without its code; what cannot be read is left to the reader to report."""
    try:
        return _FENCE.sub("", decode(path.read_bytes()))
    except (OSError, ValueError):
        return ""


def _common_folder(books: Sequence[Path]) -> Path:
    return Path(os.path.commonpath([path.resolve().parent for path in books]))


def _folder_titles(root: Path, books: Sequence[Path]) -> list[str]:
    """The name of the folder that holds all books, and the first heading of its README."""
    titles = []
    for path in books:
        if path.resolve().parent == root and path.stem.lower() in ("readme", "index"):
            titles += _HEADING.findall(_prose(path))[:1]
    for folder in (root, *root.parents[:2]):  # "book/zh-cn" says nothing of the book
        titles.append(folder.name)
        if any(word.lower() not in _NO_FIELD for word in _WORDS.findall(folder.name)):
            break
    return titles


def _of_title(title: str, prose: str) -> list[str]:
    """Names of a field in a title; words of a file name are written as the text writes them."""
    bare = re.split(r"[：:（(|——]", _NUMBER.sub("", title))[0]
    found = latin(bare)
    for word in _WORDS.findall(bare):
        if word.lower() not in _NO_FIELD:
            word = _SHORT.get(word.lower(), word)
            written = Counter(re.findall(f"(?i:{_whole(word)})", prose)).most_common(1)
            found += [name for name, _ in written if name[0].isupper()]
    field = _SORT_OF_BOOK.sub("", re.sub(r"[A-Za-z0-9_.\-]+", " ", bare))
    found += [name for name in _CHINESE.findall(field) if len(name) <= 8]
    return list(dict.fromkeys(found))


def _whole(name: str) -> str:
    """A pattern that finds a name as a word of its own."""
    return rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])"
