"""The pages tell the truth: commands, options, files, settings and links that they name exist."""

import contextlib
import io
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from serving.settings import Settings

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "README.en.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "bench/README.md",
    *sorted((ROOT / "bench").glob("LOG*.md")),
    ROOT / "data/sample/README.md",
]
# What a run makes: no file of the checkout.
MADE = ("out/", "report/", "model/", "compile_cache")
THE_USERS = ("preflight/submissions.jsonl", "index/examples.jsonl")
# Where messages to the user come from, beside the top.
ROOMS = (
    "common",
    "serving",
    "judging",
    "preflight",
    "data",
    "train",
    "tune",
    "chat",
    "requirements",
)
# Shell commands of other people's that the pages call.
OTHERS = {"curl", "git", "tar", "echo", "apt-get"}
CODE_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE_CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
ASSIGNMENT = re.compile(r"[A-Z][A-Z0-9_]*=\S*")
VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b|\b[A-Z]{3,}(?==)")
# Modules are run for their `--help`; that others import them, too, does no harm.
pytestmark = pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
a_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def shell_lines(text: str) -> Iterator[str]:
    """Commands of a page: lines of its bash blocks, and inline code that begins like one."""
    for language, block in CODE_BLOCK.findall(text):
        if language == "bash":
            yield from block.splitlines()
    for code in INLINE_CODE.findall(CODE_BLOCK.sub("", text)):
        words = [word for word in code.split() if not ASSIGNMENT.fullmatch(word)]
        is_python = words and words[0].endswith("python") and "-m" in words
        if len(words) > 1 and (words[0] == "bash" or is_python):
            yield code


def commands(text: str) -> list[list[str]]:
    """The words of each command, without comments and leading variables."""
    found = []
    for line in shell_lines(text):
        words = shlex.split(line, comments=True)
        while words and ASSIGNMENT.fullmatch(words[0]):
            words = words[1:]
        if words:
            found.append(words)
    return found


def as_python(words: list[str]) -> tuple[str, list[str]] | None:
    """What a command runs in the end: a module or script, and its arguments; None: no Python."""
    if words[:2] == ["bash", "run.sh"]:
        name, rest = (words[2], words[3:]) if len(words) > 2 else ("", [])
        if name in ("data", "train", "tune", "chat", "preflight", "judging", "retrieval"):
            return name, rest
        if name == "submissions":
            return "preflight.submissions", rest
        if name == "judge":
            return "eval_local", ["--url", *rest]
        return None
    if words[0].endswith("python") and words[1] == "-m":
        return words[2], words[3:]
    return None


def source_of(module_name: str) -> Path:
    """The file that `python -m` runs."""
    file = ROOT / module_name.replace(".", "/")
    found = file / "__main__.py" if file.is_dir() else file.with_suffix(".py")
    assert found.is_file(), f"there is no module {module_name}"
    return found


@cache
def help_of(module_name: str, *subcommand: str) -> str:
    """What `--help` prints, in lines that are wide enough. Fails where there is no such command."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setenv("COLUMNS", "400")
        patch.setattr(sys, "argv", [module_name, *subcommand, "--help"])
        try:
            runpy.run_module(module_name, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            assert not end.code, f"there is no {' '.join([module_name, *subcommand])}"
    return printed.getvalue()


def check_arguments(module_name: str, arguments: list[str]) -> None:
    """Every subcommand, option, and value of a choice is one that the command knows."""
    if not re.search("typer|argparse|make_app", source_of(module_name).read_text("utf-8")):
        assert not arguments, f"{module_name} takes no arguments"  # nor `--help`: it would run
        return
    told = help_of(module_name)
    if "COMMAND [ARGS]" in told and arguments and not arguments[0].startswith("-"):
        told, arguments = help_of(module_name, arguments[0]), arguments[1:]
    for word, following in zip(arguments, [*arguments[1:], ""], strict=False):
        if word.startswith("--"):
            line = re.search(rf"(?<![\w-]){word}(?![\w-]).*", told)
            assert line, f"{module_name} has no option {word}"
            if choices := re.search(r"<([\w|-]+\|[\w|-]+)>", line[0]):
                assert following in choices[1].split("|"), f"{word} is one of {choices[1]}"


@a_page
def test_the_commands_of_a_page_exist(page: Path) -> None:
    run_sh = (ROOT / "run.sh").read_text("utf-8")
    for words in commands(page.read_text("utf-8")):
        line = " ".join(words)
        if words[0] == "bash":
            assert (ROOT / words[1]).is_file(), line
            if words[1] == "run.sh" and len(words) > 2 and re.fullmatch("[a-z]+", words[2]):
                assert re.search(rf"^  {words[2]}\)", run_sh, re.MULTILINE), line
        elif not words[0].endswith("python"):
            assert words[0] in OTHERS, line
        if target := as_python(words):
            check_arguments(*target)


def test_every_command_of_run_sh_has_its_page() -> None:
    names = re.findall(r"^  ([a-z]+)\)$", (ROOT / "run.sh").read_text("utf-8"), re.MULTILINE)
    assert names
    told = "\n".join(page.read_text("utf-8") for page in PAGES)
    assert [name for name in names if f"bash run.sh {name}" not in told] == []


@cache
def words_of_the_code() -> set[str]:
    """Every word of the checkout's own code, and the names of all settings."""
    files = [ROOT / "Dockerfile", *ROOT.glob("*.py"), *ROOT.glob("*.sh")]
    for folder in ROOT.iterdir():
        if folder.is_dir() and not folder.name.startswith(".") and f"{folder.name}/" not in MADE:
            files += [*folder.rglob("*.py"), *folder.rglob("*.sh")]
    words: set[str] = set()
    for file in files:
        if file != Path(__file__):
            words |= set(re.findall(r"\w+", file.read_text("utf-8")))
    return words | {name.upper() for name in Settings.model_fields}


@a_page
def test_the_variables_and_options_of_a_page_are_known_to_the_code(page: Path) -> None:
    text = page.read_text("utf-8")
    code = "\n".join([*INLINE_CODE.findall(CODE_BLOCK.sub("", text)), *shell_lines(text)])
    assert {name for name in VARIABLE.findall(code) if name not in words_of_the_code()} == set()
    options = set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", code))
    code_has = words_of_the_code() | set(re.findall(r"[a-z][a-z-]+", messages_of_the_code()))
    assert {name for name in options if not {name, name.replace("-", "_")} & code_has} == set()


@a_page
def test_the_files_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    blocks = [block for _, block in CODE_BLOCK.findall(text)]
    code = "\n".join([*INLINE_CODE.findall(CODE_BLOCK.sub("", text)), *blocks])
    folders = [p.name for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith(".")]
    folders += ["answering", "runs"]  # a page must not name them where they are not there
    inside = re.compile(rf"(?<![\w./-])(?:{'|'.join(folders)})/[\w./-]*")
    scripts = re.compile(r"(?<![\w./*-])[\w-]+\.(?:py|sh|yaml)\b")
    for name in inside.findall(code):
        if not name.startswith(MADE) and name not in THE_USERS:
            assert (ROOT / name.rstrip(".")).exists(), name
    for name in scripts.findall(code):
        beside = [page.parent / name, ROOT / name, ROOT / "train/recipes" / name]
        assert any(path.is_file() for path in beside), name


@cache
def messages_of_the_code() -> str:
    """All source text; pieces of one string joined, what is filled in written as `…`."""
    python, shell = "", ""
    for folder in (ROOT, *(p for p in ROOT.iterdir() if p.is_dir() and p.name in ROOMS)):
        every = folder.glob if folder == ROOT else folder.rglob
        python += "".join(file.read_text("utf-8") for file in every("*.py"))
        shell += "".join(file.read_text("utf-8") for file in every("*.sh"))
    python = re.sub(r"[\"']\s*\n\s*f?[\"']", "", python)
    return re.sub(r"\{[^{}]*\}", "…", python) + shell


@pytest.mark.parametrize("name", ["data", "training", "tuning", "troubleshooting"])
def test_the_messages_of_a_page_are_those_of_the_code(name: str) -> None:
    rows = (ROOT / f"docs/{name}.md").read_text("utf-8").splitlines()
    quoted = [match[1] for row in rows if (match := re.match(r"\| `([^`]+ [^`]+)`", row))]
    quoted = [message for message in quoted if not message.startswith("train/")]
    assert quoted
    for message in quoted:
        for part in message.split("…"):
            assert part.strip() in messages_of_the_code(), message


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    text = CODE_BLOCK.sub("", page.read_text("utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in headings}


@a_page
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text("utf-8")):
        if target.startswith("http"):
            continue
        file, _, anchor = target.partition("#")
        there = page.parent / file if file else page
        assert there.is_file(), target
        assert not anchor or anchor in anchors(there), target


def test_every_page_is_reached_from_the_readme() -> None:
    linked = set(LINK.findall((ROOT / "README.md").read_text("utf-8")))
    assert {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} <= linked


def shape(page: Path) -> tuple[list[str], list[str], list[str], int]:
    """Levels of headings, kinds of code blocks, links to other pages, rows of tables."""
    text = page.read_text("utf-8")
    bare = CODE_BLOCK.sub("", text)
    other = {"README.md", "README.en.md"}
    return (
        re.findall(r"^(#+) ", bare, re.MULTILINE),
        [language for language, _ in CODE_BLOCK.findall(text)],
        [link for link in LINK.findall(text) if link not in other],
        len(re.findall(r"^\|", bare, re.MULTILINE)),
    )


def test_both_readmes_are_short_and_say_the_same() -> None:
    chinese, english = ROOT / "README.md", ROOT / "README.en.md"
    for page in (chinese, english):
        assert len(page.read_text("utf-8").splitlines()) <= 120
    assert shape(chinese) == shape(english)
    told = [[words[:4] for words in commands(p.read_text("utf-8"))] for p in (chinese, english)]
    placeholders = re.compile(r"\b\S*(?:测试集|教材|TESTSET|BOOK)\.docx|用户名/模型名|OWNER/NAME")
    same = [[[placeholders.sub("X", w) for w in words] for words in page] for page in told]
    assert same[0] == same[1]


@pytest.mark.parametrize("page", PAGES[2:], ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_has_both_languages(page: Path) -> None:
    text = CODE_BLOCK.sub("", page.read_text("utf-8"))
    assert len(re.findall(r"[\u4e00-\u9fff]", text)) > 200
    assert len(re.findall(r"\b[A-Za-z]{2,}\b", text)) > 200


def test_a_wrong_page_is_noticed() -> None:
    with pytest.raises(AssertionError, match="no option --exclud"):
        check_arguments("data", ["build", "BOOK", "--exclud", "x.docx"])
    with pytest.raises(AssertionError, match="no option --groop"):
        check_arguments(*as_python(["bash", "run.sh", "judging", "compare", "R", "--groop", "x"]))
    with pytest.raises(AssertionError, match="no judging rank"):
        check_arguments(*as_python(["bash", "run.sh", "judging", "rank", "R"]))
    with pytest.raises(AssertionError, match="no data bild"):
        check_arguments("data", ["bild"])
    with pytest.raises(AssertionError, match="--source is one of rules"):
        check_arguments("data", ["build", "BOOK", "--source", "guess"])
    with pytest.raises(AssertionError, match="no option --budget"):
        check_arguments("tests.fuzz", ["--budget", "1"])
    assert commands("`MAX_TOKENS=9 bash run.sh serve` and `MAX_TOKENS`") == [
        ["bash", "run.sh", "serve"]
    ]
