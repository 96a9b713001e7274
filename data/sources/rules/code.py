"""Code blocks: functions printed whole, expressions with a comment, and announced commands."""

import re
from collections.abc import Iterator

from data.records import CODE
from data.sources.rules.nouns import is_owner, tags
from data.sources.rules.registry import Bad, Candidate, Good, Place, rule
from data.sources.sentence import is_standalone

MAX_CODE, MAX_LINES = 1200, 40
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
_LEFT_OUT = re.compile(r"^\s*(?://|#)?\s*(?:\.\.\.|…+|\[\.\.\.\])\s*$", re.M)  # parts of it
_TOLD = re.compile(
    r"(?:下面|以下)(?:的|这个)?函数(?:用来|用于)?(?P<task>[^A-Za-z_。：；]{6,50})[。：]?$"
)


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
            "下面的函数求圆形花坛要买多少草皮。\n\n```python\ndef turf_needed(\n"
            "    radius: float,\n) -> float:\n    area = 3.14 * radius * radius\n"
            "    return area\n\nturf_needed(2)\n```",
            "请写出函数 turf_needed（求圆形花坛要买多少草皮）的实现代码。",
            "def turf_needed(\n    radius: float,\n) -> float:\n"
            "    area = 3.14 * radius * radius\n    return area",
        ),
    ],
    bad=[
        Bad(
            "```python\ndef turf_needed(radius):\n    area = 3 * radius\n    return area\n```",
            "nobody says what it does",
        ),
        Bad("```c\nint main() {\n    run();\n    return 0;\n}\n```", "every program has a main"),
        Bad(
            "```c\nvoid foo(int *a) {\n    a[0] = 1;\n    a[1] = 2;\n}\n```", "a name for anything"
        ),
        Bad(
            "```c\nint send_packet(int fd) {\n    int done = write(fd);\n    return done;\n}\n```",
            "a helper of one program",
        ),
        Bad(
            "```c\n__global__ void showShared(float *a) {\n    __shared__ float room[];\n}\n```",
            "does nothing",
        ),
        Bad("```c\nvoid half(int *a) {\n    if (a) {\n        a[0] = 1;\n```", "not whole"),
    ],
)
def _functions(at: Place) -> Iterator[Candidate]:
    names: set[str] = set()
    for name, kind, source in functions(at.block.text):
        said = _told_task(at, source)
        if name in names or not (said or _stands_alone(name, source)):
            continue
        names.add(name)
        if len(source) <= MAX_CODE and 3 <= source.count("\n") + 1 <= MAX_LINES:
            yield Candidate(CODE, f"请写出{kind} {name}{said or ' '}的实现代码", source)


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
    bad=[
        Bad("```c\nint total = count; // 线程总数\n```", "computes nothing"),
        Bad("```c\nfloat far = view.max; // 投影矩阵的远平面\n```", "computes nothing"),
    ],
)
def _expression(at: Place) -> Iterator[Candidate]:
    for match in _ASSIGNMENT.finditer(at.block.text):
        expression = f"{match['name']} = {' '.join(match['value'].split())}"
        meaning = re.sub(r"^(?:计算|表示|获取|得到|即)", "", match["comment"].strip())
        computed = re.search(r"(?:thread|block)Idx|(?:block|grid)Dim", match["value"])
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
        first, *lines = code[signature:].split("\n")
        body = [code[match.start() : signature] + first]
        for line in lines:
            if line.strip() and len(line) - len(line.lstrip()) <= len(match["indent"]):
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


def _told_task(at: Place, source: str) -> str:
    """What a Python function does, in brackets: by the line above the code that is its own."""
    if not _PYTHON.match(source) or len(_PYTHON.findall(at.block.text)) != 1:
        return ""
    if _LEFT_OUT.search(source) or re.search(r"def \w+\(\s*(?:self|cls)\b", source):
        return ""  # not whole, or a method without its class
    before = at.blocks[at.index - 1] if at.index else None
    told = _TOLD.search(before.text.strip()) if before and before.kind != CODE else None
    return f"（{told['task']}）" if told and is_standalone(told["task"]) else ""


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
    """A kernel with a name of its own, whole, that shows no error.

    A book names its kernels in its text; of other functions (`init_desc`, `plot_path`) every
    program has some, and nobody could say which one a question means.
    """
    if "__global__" not in source or re.search(r"_?v?\d+$", name):
        return False  # kernel_4, reduce_v2: one of several versions
    if _LEFT_OUT.search(source) or re.search(r"\(\.{3}\)|\b(?:SEE|TODO)\b", source):
        return False
    if not re.search(r"_|[a-z][A-Z]|^[A-Za-z]{4,}$", name) or _SHOWS_A_RULE.search(source):
        return False
    if _ANY_NAME.fullmatch(name) or "My" in name:
        return False
    body = source[source.find("{") :]
    if not re.search(r"[^=!<>]=[^=]|\w\(.*\);", body):
        return False  # a body that only declares
    return len([line for line in source.split("\n") if line.strip()]) >= 3


def _closing_brace(code: str, start: int) -> int:
    depth = 0
    for position in range(start, len(code)):
        depth += {"{": 1, "}": -1}.get(code[position], 0)
        if depth == 0:
            return position
    return -1
