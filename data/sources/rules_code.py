"""Rules over code blocks: a function that the book prints whole, or code that it announces."""

import re
from collections.abc import Iterator, Sequence

from data.records import CODE, Block
from data.sources.nouns import core, is_owner, tags
from data.sources.sentence import is_standalone, strip_lead

Candidate = tuple[str, str, str]

MAX_CODE, MAX_LINES = 1200, 40
_ANNOUNCES = re.compile(
    r"(?:如下|下面|以下)(?:是|为|的是|给出了?)?(?:一个|一份|一段)?(?:简单的"
    r"|完整的)?(?P<x>[^，。；：]{4,40}?)(?:的)?(?P<what>代码|实现|示例|例子|写法"
    r"|命令)?(?:如下|实现)?[：:]?$"
)
_COMMAND = re.compile(
    r"(?:使用|通过|执行|用)(?:如下|以下|下面)(?:的)?(?:命令|指令)(?:来"
    r"|进行)?(?P<x>[^，。；：]{2,24})"
)
_FUNCTION = re.compile(
    r"^(?P<indent>[ \t]*)(?P<head>(?:template\s*<[^>{]*>\s*\n\s*)?(?:(?:__\w+__|extern \"C\""
    r"|static|inline|const|unsigned|constexpr)\s+)*"
    r"(?:void|int|float|double|bool|char|auto|size_t|half|dim3|T|cudaError_t"
    r"|[A-Z]\w+)\s*[*&]?\s+\*?(?P<name>[A-Za-z_]\w+)\s*\((?P<args>[^;{}]*?)\))\s*\{",
    re.M,
)
_ASSIGNMENT = re.compile(
    r"^[ \t]*(?:(?:const|unsigned|static|constexpr|auto|u?int\d*(?:_t)?|size_t|float|double)\s+)*"
    r"(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<value>[^;={}]{3,60});[ \t]*//[ \t]*"
    r"(?P<comment>[^\n]*[\u4e00-\u9fff][^\n]*)$",
    re.M,
)
_PYTHON = re.compile(r"^(?P<indent>[ ]*)(?:@[\w.()]+\n\s*)?def (?P<name>\w+)\(", re.M)
_SHELL = re.compile(
    r"^(?:\$ |# )?(?:sudo |nvcc |nvprof |git |pip |python3? |cmake |make |apt|wget |ncu "
    r"|nsys |export |\./)"
)

_PROMPT = re.compile(r"^[$#] ")


def from_code(blocks: Sequence[Block], index: int) -> Iterator[Candidate]:
    """Functions printed whole, and commands that the line above announces."""
    code = blocks[index].text
    names: set[str] = set()
    for name, kind, source in functions(code):
        if name in ("main", "setup", "loop") or name in names or name.startswith("test"):
            continue
        names.add(name)
        if len(source) <= MAX_CODE and 3 <= source.count("\n") + 1 <= MAX_LINES:
            yield CODE, f"请写出{kind} {name} 的实现代码", source
    yield from _assignments(code)
    yield from _command(blocks, index)


def _assignments(code: str) -> Iterator[Candidate]:
    """ "int tid = blockIdx.x * blockDim.x + threadIdx.x; // 全局下标": what an expression means."""
    for match in _ASSIGNMENT.finditer(code):
        expression = f"{match['name']} = {' '.join(match['value'].split())}"
        meaning = re.sub(r"^(?:计算|表示|获取|得到|即)", "", match["comment"].strip())
        computed = re.search(r"[A-Za-z_]", match["value"]) and re.search(
            r"[-+*/%.]", match["value"]
        )
        if computed and is_owner(meaning) and tags(meaning)[0][1] != "v":
            yield (
                "expression",
                f"表达式 {expression} 计算的是什么",
                f"表达式 {expression} 计算的是{meaning}。",
            )


def functions(code: str) -> Iterator[tuple[str, str, str]]:
    """(name, 核函数/设备函数/函数, source) of each function that the code holds whole."""
    for match in _FUNCTION.finditer(code):
        end = _closing_brace(code, match.end() - 1)
        if end < 0 or match["name"] in ("if", "for", "while", "switch"):
            continue
        head = match["head"]
        kind = "核函数" if "__global__" in head else "设备函数" if "__device__" in head else "函数"
        yield match["name"], kind, code[match.start("head") : end + 1]
    for match in _PYTHON.finditer(code):
        lines = code[match.start() :].split("\n")
        indent = len(match["indent"])
        body = [lines[0]]
        for line in lines[1:]:
            if line.strip() and len(line) - len(line.lstrip()) <= indent and len(body) > 1:
                break
            body.append(line)
        yield match["name"], "函数", "\n".join(body).rstrip()


def _closing_brace(code: str, start: int) -> int:
    depth = 0
    for position in range(start, len(code)):
        depth += {"{": 1, "}": -1}.get(code[position], 0)
        if depth == 0:
            return position
    return -1


def _command(blocks: Sequence[Block], index: int) -> Iterator[Candidate]:
    code = blocks[index].text
    if index == 0 or blocks[index - 1].kind == CODE or not _SHELL.match(code) or len(code) > 200:
        return
    before = strip_lead(re.split(r"[。！？]", blocks[index - 1].text.strip())[-1])
    match = _COMMAND.search(before)
    if match and is_standalone(match["x"]):
        goal = core(re.split(r"以便|从而|为了", match["x"])[0]).strip()
        if len(goal) < 4 or re.search(r"[在到从对将把和与或的]$", goal):
            return
        lines = [_PROMPT.sub("", line) for line in code.split("\n") if _SHELL.match(line)]
        if len(lines) == 1:  # of several, the line above announces one, or all
            yield "command", f"用什么命令{goal}", lines[0]
