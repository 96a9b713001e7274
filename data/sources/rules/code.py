"""Code blocks: functions printed whole, expressions with a comment, and announced commands."""

import re
from collections.abc import Iterator

from data.records import CODE, COMMAND
from data.sources.rules.nouns import core, is_owner, tags
from data.sources.rules.registry import Bad, Candidate, Good, Place, rule
from data.sources.sentence import is_standalone, strip_lead

MAX_CODE, MAX_LINES = 1200, 40
_ANNOUNCED = re.compile(
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


@rule(
    "function",
    kinds=(CODE,),
    patterns=(_FUNCTION, _PYTHON),
    good=[
        Good(
            "```c\n__global__ void addOne(int *a) {\n    int i = threadIdx.x;\n"
            "    a[i] += 1;\n}\n```",
            "请写出核函数 addOne 的实现代码。",
            "__global__ void addOne(int *a) {\n    int i = threadIdx.x;\n    a[i] += 1;\n}",
        ),
        Good(
            "```python\ndef circle_area(\n    r: float,\n) -> float:\n    square = r * r\n"
            "    return 3 * square\n\nf(1)\n```",
            "请写出函数 circle_area 的实现代码。",
            "def circle_area(\n    r: float,\n) -> float:\n    square = r * r\n"
            "    return 3 * square",
        ),
    ],
    bad=[
        Bad("```c\nint main() {\n    run();\n    return 0;\n}\n```", "every program has a main"),
        Bad(
            "```c\nvoid foo(int *a) {\n    a[0] = 1;\n    a[1] = 2;\n}\n```", "a name for anything"
        ),
        Bad(
            "```python\ndef begin_state(self, n):\n    size = n + 1\n    return size\n```",
            "a method without its class",
        ),
        Bad("```c\nvoid half(int *a) {\n    if (a) {\n        a[0] = 1;\n```", "not whole"),
    ],
)
def _functions(at: Place) -> Iterator[Candidate]:
    names: set[str] = set()
    for name, kind, source in functions(at.block.text):
        if name in names or not _stands_alone(name, source):
            continue
        names.add(name)
        if len(source) <= MAX_CODE and 3 <= source.count("\n") + 1 <= MAX_LINES:
            said = _describes(source)
            shown = f"{name}（{said}）" if said and is_standalone(said) else f"{name} "
            yield Candidate(CODE, f"请写出{kind} {shown}的实现代码", source)


@rule(
    "expression",
    kinds=("expression",),
    patterns=(_ASSIGNMENT,),
    good=[
        Good(
            "```c\nint tid = blockIdx.x * blockDim.x + threadIdx.x; // 全局下标\n```",
            "表达式 tid = blockIdx.x * blockDim.x + threadIdx.x 计算的是什么？",
            "表达式 tid = blockIdx.x * blockDim.x + threadIdx.x 计算的是全局下标。",
        )
    ],
    bad=[Bad("```c\nint total = count; // 线程总数\n```", "computes nothing")],
)
def _expression(at: Place) -> Iterator[Candidate]:
    for match in _ASSIGNMENT.finditer(at.block.text):
        expression = f"{match['name']} = {' '.join(match['value'].split())}"
        meaning = re.sub(r"^(?:计算|表示|获取|得到|即)", "", match["comment"].strip())
        computed = re.search(r"[A-Za-z_]", match["value"]) and re.search(
            r"[-+*/%.]", match["value"]
        )
        if computed and is_owner(meaning) and tags(meaning)[0][1] != "v":
            yield Candidate(
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
        signature = _signature_end(code, match.end() - 1)
        if signature < 0:
            continue
        body = [code[match.start() : signature]]
        first, *lines = code[signature:].split("\n")
        body[0] += first
        indent = len(match["indent"])
        for line in lines:
            if line.strip() and len(line) - len(line.lstrip()) <= indent:
                break
            body.append(line)
        yield match["name"], "函数", "\n".join(body).rstrip()


def _signature_end(code: str, start: int) -> int:
    """Where the ":" of a def stands, past its brackets, which may span lines; -1 for none."""
    depth = 0
    for position in range(start, len(code)):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(code[position], 0)
        if depth == 0 and code[position] == ":":
            return position + 1
    return -1


# Names that are the same in every program, or stand for "any function".
_ANY_NAME = re.compile(
    r"main|setup|loop|run|init|test\w*|\w*_test|foo\w*|\w*foo|bar|baz|fn\w*|func\w*|\w*_fn\d*"
    r"|[a-z]*[Kk]ernel\d?|fun|fct|f|g|h|[a-z]\d+|hello\w*|say\w*|my\w{0,6}|\w*[Ee]xample\w*|demo\w*"
    r"|device_\w+|host\w*|read|write|get|set|call|callback|handler|parent\w*|child\w*|outer|inner"
    r"|do\w?|\w{1,2}|__\w+__|forward|wrapper|[Ss]omething|work|worker|computation|process|update"
    r"|start|stop|next|add|sum\d?"
)
_SHOWS_A_RULE = re.compile(
    r"(?://|#)\s*(?i:error|ok|wrong|bad|错误|报错|正确|不会执行|未定义|undefined|invalid)\b"
)


def _stands_alone(name: str, source: str) -> bool:
    """No placeholder's name, no method without its class, no snippet that shows an error."""
    if re.match(r"\s*(?:@\w.*\n\s*)*def \w+\(\s*(?:self|cls)\b", source):
        return False
    if re.search(r"^\s*(?://|#)?\s*(?:\.\.\.|…+)\s*$", source, re.M):
        return False  # parts are left out
    telling = _describes(source) or re.search(r"_|[a-z][A-Z]|^[A-Za-z]{5,}$", name)
    if _SHOWS_A_RULE.search(source) or not telling:
        return False
    if _ANY_NAME.fullmatch(name) or "My" in name or "NotImplementedError" in source:
        return False
    return len([line for line in source.split("\n") if line.strip()]) >= 3


def _describes(source: str) -> str:
    """The first line of a docstring in Chinese, which says what the function does."""
    found = re.search(r"\"\"\"\s*([^\n\"]{4,40}?)[。.]?\s*(?:\"\"\"|\n)", source[:400])
    chinese = found and re.search("[\u4e00-\u9fff]{3}", found[1])
    return found[1].strip() if chinese and not found[1].startswith("在") else ""


def _closing_brace(code: str, start: int) -> int:
    depth = 0
    for position in range(start, len(code)):
        depth += {"{": 1, "}": -1}.get(code[position], 0)
        if depth == 0:
            return position
    return -1


@rule(
    "command",
    kinds=(COMMAND,),
    patterns=(_ANNOUNCED, _SHELL),
    good=[
        Good(
            "使用以下命令编译矩阵程序：\n\n```\n$ nvcc -o matrix matrix.cu\n```",
            "用什么命令编译矩阵程序？",
            "nvcc -o matrix matrix.cu",
        )
    ],
    bad=[
        Bad(
            "使用以下命令编译矩阵程序：\n\n```\nnvcc -c a.cu\nnvcc -o a a.o\n```",
            "of several commands, the line above may announce one or all",
        )
    ],
)
def _command(at: Place) -> Iterator[Candidate]:
    code = at.block.text
    before = at.blocks[at.index - 1] if at.index else None
    if before is None or before.kind == CODE or not _SHELL.match(code) or len(code) > 200:
        return
    announcement = strip_lead(re.split(r"[。！？]", before.text.strip())[-1])
    match = _ANNOUNCED.search(announcement)
    if match and is_standalone(match["x"]):
        goal = core(re.split(r"以便|从而|为了", match["x"])[0]).strip()
        if len(goal) < 4 or re.search(r"[在到从对将把和与或的]$", goal):
            return
        lines = [_PROMPT.sub("", line) for line in code.split("\n") if _SHELL.match(line)]
        if len(lines) == 1:
            yield Candidate(COMMAND, f"用什么命令{goal}", lines[0])
