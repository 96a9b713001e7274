"""LaTeX books as one text: parts put in, comments and branches that do not show taken out."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from common.language import either
from common.text_encodings import decode
from data.losses import TEXT, Loss
from data.markup.latex_macros import arguments
from data.markup.parts import TEX_INCLUDE, found_file, tex_names
from data.text import CJK

_DEPTH = 8
_WORTH_A_WORD = 20  # Chinese characters behind the end of a document
# Environments whose content TeX does not read; books declare more of them.
VERBATIM = (
    "verbatim", "Verbatim", "BVerbatim", "LVerbatim", "lstlisting", "minted", "alltt", "comment",
    "filecontents", "tcblisting", "pycode", "pyverbatim", "spverbatim", "cppcode", "code",
)  # fmt: skip
_DECLARED = re.compile(
    r"\\(?:lstnewenvironment|newtcblisting|DeclareTCBListing|newminted|DefineVerbatimEnvironment"
    r"|NewTCBListing|newverbatim)\*?\s*(?:\[(?P<name>\w+)\])?\s*\{(?P<first>[\w*]+)\}(?P<rest>[^\n]*(?:\n[^\n]*){0,4})"
)
_PACKAGES = re.compile(
    r"\\(?:usepackage|RequirePackage|documentclass|LoadClass)\s*(?:\[[^\]]*\])?\s*\{([^{}]+)\}"
)
_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%(?:[^\n]*\n[ \t]*(?=\S)|[^\n]*)")  # and its line end
# Braces whose content TeX takes as it stands, with braces inside; no signs of a comment there.
_BRACED = r"\{(?:\\[{}]|[^{}\n]|\{[^{}\n]*\})*\}"
_CODE_BRACED = re.compile(rf"(\\lstinline(?:\[[^\]\n]*\])?)({_BRACED})", re.S)
_HELD = re.compile("\ue100(\\d+)\ue101")
_LISTING_FILE = re.compile(
    r"\\(lstinputlisting|verbatiminput\*?|VerbatimInput|inputminted)\s*(\[[^\]]*\])?"
    r"\s*(?:\{([^{}]*)\})?\s*\{([^{}\n]+)\}"
)
_BRANCH = re.compile(r"\\(if[A-Za-z@]*|else|fi)(?![A-Za-z@])")
# Conditions of TeX; others are those that \newif declares (\iff and \ifthenelse are none).
_CONDITIONS = {
    *("if", "ifx", "ifnum", "ifdim", "ifodd", "ifcase", "ifcat", "ifdefined", "ifcsname"),
    *("ifvmode", "ifhmode", "ifmmode", "ifpdf", "ifxetex", "ifluatex", "ifPDFTeX", "ifXeTeX"),
}
# An environment of the book's own that shows its content as code.
_VERBATIM_BY = re.compile(r"[Vv]erbatim|lstlisting|minted|lst@|tcblisting|VerbEnvironment")
_NAMED_CODE = re.compile(r"(?i)code|demo|listing|example|exampl?$")
_NEW_ENVIRONMENT = re.compile(r"\\(?:re)?newenvironment\*?\s*\{(\w+)\}")
_LANGUAGE = re.compile(r"language\s*=\s*\{?(?:\[[^\]]*\])?\s*([A-Za-z+#-]+)")


@dataclass
class Source:
    """A book's text with its verbatim pieces held apart; `losses` of files that are not there."""

    main: Path
    held: list[str] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    listings: dict[str, str] = field(default_factory=dict)  # declared name: its language
    open: list[Path] = field(default_factory=list)  # files that are being read, outermost first
    switches: dict[str, bool | None] = field(default_factory=dict)  # \newif: off, or not known

    def read(self, path: Path, depth: int = 0) -> str:
        """The text of a file with its parts. Raises ValueError for an unknown encoding."""
        self.open.append(path.resolve())
        text = decode(path.read_bytes()).replace("\r\n", "\n").replace("\r", "\n")
        self._declare(text)
        text = without_branches(self._hold(text), self.switches)
        if depth < _DEPTH:
            text = _LISTING_FILE.sub(lambda m: self._listing(m, path), text)
            text = TEX_INCLUDE.sub(lambda m: self._part(m, path, depth), text)
        self.open.pop()
        return text

    def packages(self, text: str) -> Iterator[tuple[Path, str]]:
        """Packages and classes of the book's own that a text names, and those that these name."""
        waiting, seen = [text], set()
        while waiting:
            for found in _PACKAGES.findall(_COMMENT.sub(r"\1", waiting.pop())):
                for name in map(str.strip, found.split(",")):
                    part = found_file(name, self._folders(self.main), (".sty", ".cls"))
                    if part and part not in seen:
                        seen.add(part)
                        waiting.append(decode(part.read_bytes()).replace("\r\n", "\n"))
                        yield part, waiting[-1]

    def _declare(self, text: str) -> None:
        """Environments of listings that a text or its packages declare."""
        for each in [text, *(inside for _, inside in self.packages(text))]:
            for found in _DECLARED.finditer(each):
                name = found["name"] or found["first"]
                if "newminted" in found.group():
                    name = found["name"] or f"{found['first']}code"
                self.listings.setdefault(name, _language_of(found))
            for found in _NEW_ENVIRONMENT.finditer(each):
                name = found.group(1)
                given, _ = arguments(each, found.end())
                code = next((inside for kind, inside in given if kind == "{"), "")
                hidden = "@" in code and _NAMED_CODE.search(name)
                if _VERBATIM_BY.search(code) or hidden:
                    self.listings.setdefault(name, "")

    def restored(self, text: str) -> str:
        """The text with its verbatim pieces, those of declared environments as listings."""
        return _HELD.sub(lambda m: self._shown(self.held[int(m.group(1))]), text)

    def _hold(self, text: str) -> str:
        names = "|".join(map(re.escape, {*VERBATIM, *self.listings}))
        parts = re.compile(
            rf"(?P<block>\\begin\{{(?P<name>{names})(?P<star>\*?)\}}.*?\\end\{{(?P=name)(?P=star)\}})"
            r"|(?P<inline>\\(?:verb\*?|Verb\*?|lstinline(?:\[[^\]]*\])?"
            r"|mintinline(?:\[[^\]]*\])?\{[\w+#-]+\})(?P<sign>[^A-Za-z\s{*\[])[^\n]*?(?P=sign)"
            rf"|\\(?:lstinline(?:\[[^\]\n]*\])?|mintinline(?:\[[^\]\n]*\])?\{{[\w+#-]+\}}"
            rf"|(?:url|path|nolinkurl|href(?:\[[^\]\n]*\])?)(?![A-Za-z])[ ]*){_BRACED})"
            rf"|(?P<comment>{_COMMENT.pattern})"
            r"|(?P<end>\\end\{document\}.*|^[ \t]*\\endinput\b.*)",
            re.S | re.M,
        )

        def hold(found: re.Match[str]) -> str:
            if found["comment"] is not None:
                return found.group(7) or ""
            if found["end"] is not None:
                words = re.findall(f"[{CJK}]+", found["end"])
                if len("".join(words)) > _WORTH_A_WORD:
                    why = either("在 \\end{document} 之后", "after \\end{document}")
                    self.losses.append(Loss(TEXT, words[0][:30], why))
                return r"\end{document}" if "document" in found["end"][:20] else ""
            if found["name"] in ("comment", "filecontents"):
                return ""
            self.held.append(found.group())
            return f"\ue100{len(self.held) - 1}\ue101"

        return parts.sub(hold, text)

    def _shown(self, piece: str) -> str:
        block = re.match(r"\\begin\{(\w+)(\*?)\}", piece)
        if not block:
            return _as_pandoc_reads(piece)
        name = block.group(1)
        if name in ("verbatim", "Verbatim", "lstlisting", "minted") and name not in self.listings:
            return piece
        body = piece[block.end() : piece.rindex("\\end{")]
        options = re.match(r"[ \t]*(?:\[[^\]\n]*\]|\{[^{}\n]*\})*[ \t]*\n", body)
        said = options.group() if options else ""
        language = _LANGUAGE.search(said)
        language = language.group(1) if language else self.listings.get(name, "")
        body = body[options.end() :] if options else body
        option = f"[language={language}]" if language else ""
        return f"\\begin{{lstlisting}}{option}\n{body.rstrip()}\n\\end{{lstlisting}}"

    def _listing(self, found: re.Match[str], path: Path) -> str:
        _, options, language, name = found.groups()
        part = found_file(name, self._folders(path))
        if part is None:
            self._missing(name)
            return ""
        body = decode(part.read_bytes()).replace("\r\n", "\n").rstrip()
        chosen = _LANGUAGE.search(options or "")
        language = language or (chosen.group(1) if chosen else part.suffix[1:])
        spans = {
            key: int(value)
            for key, value in re.findall(r"(firstline|lastline)\s*=\s*(\d+)", options or "")
        }
        lines = body.split("\n")[max(spans.get("firstline", 1) - 1, 0) : spans.get("lastline")]
        body = "\n".join(lines).replace("\\end{lstlisting}", "\\end {lstlisting}")
        self.held.append(f"\\begin{{lstlisting}}[language={language}]\n{body}\n\\end{{lstlisting}}")
        return f"\n\ue100{len(self.held) - 1}\ue101\n"

    def _part(self, found: re.Match[str], path: Path, depth: int) -> str:
        folder, name = tex_names(found)
        if "#" in name or "\\" in name:
            return found.group()
        folders = [each / folder for each in self._folders(path)]
        part = found_file(name, folders, (".tex", "", ".latex"))
        if part is None:
            if not name.endswith((".ind", ".gls", ".aux", ".bbl")):
                self._missing(name)
            return ""
        if part.resolve() in self.open:  # a file that puts in itself
            return ""
        text = self.read(part, depth + 1)
        return f"\n{document_body(text)}\n" if r"\begin{document}" in text else text

    def _folders(self, path: Path) -> list[Path]:
        return [self.main.parent, path.parent, *path.parent.parents[:2]]

    def _missing(self, name: str) -> None:
        why = either("写在另一个文件里，没有找到", "stands in another file, which was not found")
        self.losses.append(Loss(TEXT, name, why))


def document_body(text: str) -> str:
    r"""What stands between \begin{document} and \end{document}; all of a text without them."""
    _, begun, rest = text.partition(r"\begin{document}")
    return (rest if begun else text).split(r"\end{document}")[0]


def without_branches(text: str, known: dict[str, bool | None] | None = None) -> str:
    r"""The text without \iffalse … \fi and what a switch of \newif that nothing turns on hides.

    known: switches of the files before, to which this one's are added. Of other conditions both
    branches stay: what they test is not known here.
    """
    switches: dict[str, bool | None] = {} if known is None else known
    switches.update(iffalse=False, iftrue=True)
    for name in re.findall(r"\\newif\s*\\(if\w+)", text):
        switches.setdefault(name, False)
    for name in [*switches][2:]:
        if re.search(rf"\\{name[2:]}true(?![A-Za-z])", text):
            switches[name] = None
    out: list[str] = []
    stack: list[tuple[bool | None, bool]] = []  # (value or unknown, shown outside)
    place, shown = 0, True
    for found in _BRANCH.finditer(text):
        name = found.group(1)
        if name[0] == "i" and name not in _CONDITIONS and name not in switches:
            continue
        if re.search(r"\\(?:newif|let|def)\s*$", text[max(0, found.start() - 8) : found.start()]):
            continue
        if shown:
            out.append(text[place : found.start()])
        place = found.end()
        if name == "fi":
            if stack:
                _, shown = stack.pop()
        elif name == "else":
            if stack and stack[-1][0] is not None:
                shown = stack[-1][1] and not stack[-1][0]
        else:
            value = switches.get(name)
            stack.append((value, shown))
            if value is None:
                condition = re.match(
                    r"\s*(?:\\[A-Za-z@]+|[^\s\\]{1,8})\s*(?:\\[A-Za-z@]+)?", text[place:]
                )
                place += condition.end() if condition and name in ("ifx", "ifdefined") else 0
            else:
                shown = shown and value
    if shown or not stack:
        out.append(text[place:])
    return "".join(out)


def _as_pandoc_reads(piece: str) -> str:
    """Paths, which pandoc drops, and inline code with braces inside in forms that it reads."""
    if piece.startswith(r"\path"):
        return r"\nolinkurl" + piece.removeprefix(r"\path")
    code = _CODE_BRACED.fullmatch(piece)
    inside = code.group(2)[1:-1] if code else ""
    if code and re.search(r"[{}]", inside):
        sign = next((each for each in "|!+@;/" if each not in inside), "")
        return f"{code.group(1)}{sign}{inside}{sign}" if sign else piece
    return piece


def _language_of(found: re.Match[str]) -> str:
    language = _LANGUAGE.search(found["rest"])
    if language:
        return language.group(1)
    if "newminted" in found.group() or "listing language" in found["rest"]:
        said = re.search(r"minted language\s*=\s*(\w+)", found["rest"])
        return said.group(1) if said else found["first"]
    return ""
