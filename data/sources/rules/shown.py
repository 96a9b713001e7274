"""Code that the sentence before it says the purpose of: 使用 X 来…：, X 的语法如下：."""

import re
from collections.abc import Iterator
from dataclasses import replace

from data.records import CODE, PARAGRAPH
from data.sources.rules.compose import compose
from data.sources.rules.nouns import core
from data.sources.rules.phrases import spaced
from data.sources.rules.registry import Bad, Candidate, Good, Place, rule
from data.sources.rules.whole import OF_THE_BOOK, TASKS, is_subject, is_task, says_object
from data.text import sentences, tidy

_MAY = r"(?:我们|你|您|大家|也|还|就|可以?|能够?|应该|应当|需要?|通常|一般|直接|推荐|建议)*"
_ENDS = (
    r"(?:，?\s*(?:例如|比如|(?:具体)?(?:代码|命令|示例|语法|写法)?如下(?:所示)?"
    r"|示例(?:代码)?|即可|就可以了?|就行))*\s*[：:]$"
)
_ACTS = rf"(?:{TASKS}|(?:将|把|对|为|让|给|从|在)[^，。：]{{1,30}}?(?:{TASKS}))"
_TOLD = rf"(?P<task>{_ACTS}[^，。：]{{2,36}}?)"
_TOOL = r"(?:语句|命令|函数|方法|关键字|指令|选项|参数|操作|工具|语法|接口)"
# 使用 X 来 VERB…：, with nothing between where X is called a command or has a name of code.
_BY = re.compile(
    rf"^{_MAY}(?:使用|用|通过|利用|调用|采用|借助)\s*"
    rf"(?P<x>[^，。：的]{{2,40}}?(?:\s*{_TOOL})?)\s*"
    r"(?:(?:来|去|以|即可|可以?|能够?)\s*"
    r"|(?<=语句|命令|函数|方法|指令|选项|参数|操作|工具|语法|接口)|(?<=关键字)|(?<=[A-Za-z)]))"
    rf"{_TOLD}{_ENDS}"
)
# 执行如下命令 VERB…：
_RUN = re.compile(
    rf"^{_MAY}(?:执行|运行|使用|用|通过|输入)\s*(?:如下|以下|下面|下列)的?(?:几[行条个])?"
    r"(?:命令|语句|方法|指令|SQL|代码|语法|方式|脚本)"
    rf"(?:来|可以?|即可|去)?\s*{_TOLD}{_ENDS}"
)
# 如果要 VERB…，…：
_TO = re.compile(
    rf"^(?:要|(?:如果|假如|若)(?:我们|你|您)?(?:想要?|要|需要?|希望)|如需|若需|为了|想要|需要)\s*{_TOLD}(?:时|的话)?，"
    rf"[^。]{{4,70}}{_ENDS}"
)
_SYNTAX = re.compile(
    r"^(?P<x>[^，。：；]{2,30}?)\s*的(?:基本|一般|完整|使用)?(?P<a>语法|语法格式|语法结构|格式|用法|写法|函数原型|原型|声明)"
    r"(?:格式|形式|方式)?(?:如下|为|是)(?:所示)?\s*[：:]$"
)
# VERB…的代码如下：; a bare order (启动虚拟机：) is a step of some course as often.
_DONE = re.compile(
    rf"^(?P<task>(?:{TASKS})[^，。：；]{{3,36}}?)\s*(?:的?(?:示例|完整|具体|参考|核心|主要)?"
    r"(?:代码|命令|语句|方法|写法|SQL)\s*(?:如下|为|是)(?:所示)?|如下(?:所示)?)\s*[：:]$"
)
# VERB…通常使用 X：
_WITH = re.compile(
    rf"^(?P<task>(?:{TASKS})[^，。：；]{{1,20}}?)(?:通常|一般|也|可以?|需要?|则|主要|直接)*(?:使用|用)"
    r"\s*[^，。：的]{2,40}[：:]$"
)
_NO_QUESTION = re.compile("[（(].*[\u4e00-\u9fff].*[)）]|第一件|[*]|自己|[的为]$")
_OF_ONE_COURSE = re.compile(
    r"实验|具体步骤|实战|案例|项目|示例|作业|快速|(?<![A-Za-z])[Ll]ab(?![a-z])|[Qq]uick"
)
_GOES_ON = re.compile(
    r"(?:然后|再|之后|接着|随后|最后|并(?!行|发)|同时|第[二三]步|其次|[（(]?[2-9][)）.、])"
)


@rule(
    "shown",
    kinds=("how",),
    patterns=(_RUN, _BY, _TO, _SYNTAX, _WITH, _DONE),
    good=[
        Good(
            "水闸很大。你可以使用 GateCtl 命令来打开编号所指的闸门：\n\n"
            "```bash\ngatectl open 3\n```",
            "如何使用 GateCtl 命令打开编号所指的闸门？",
            "可以使用 GateCtl 命令来打开编号所指的闸门：\n```bash\ngatectl open 3\n```",
        ),
        Good(
            "执行如下命令检查 GateCtl 是否已经校准：\n\n```bash\ngatectl check\n```",
            "如何检查 GateCtl 是否已经校准？",
            "执行如下命令检查 GateCtl 是否已经校准：\n```bash\ngatectl check\n```",
        ),
        Good(
            "如果要限制 GateCtl 的开度，可以在配置文件里写上限：\n\n```ini\nlimit = 0.8\n```",
            "如何限制 GateCtl 的开度？",
            "如果要限制 GateCtl 的开度，可以在配置文件里写上限：\n```ini\nlimit = 0.8\n```",
        ),
        Good(
            "GATE 语句的语法如下：\n\n```sql\nGATE 编号 TO 开度\n```\n\n写在一行里。",
            "SQL 中 GATE 语句的语法是什么？",
            "GATE 语句的语法如下：\n```sql\nGATE 编号 TO 开度\n```",
        ),
        Good(
            "重启 GateCtl 通常使用 gatectl boot：\n\n```bash\ngatectl boot\n```",
            "如何重启 GateCtl？",
            "重启 GateCtl 通常使用 gatectl boot：\n```bash\ngatectl boot\n```",
        ),
        Good(
            "删除 GateCtl 保存的校准数据的命令如下：\n\n```bash\ngatectl reset --all\n```",
            "如何删除 GateCtl 保存的校准数据？",
            "删除 GateCtl 保存的校准数据的命令如下：\n```bash\ngatectl reset --all\n```",
        ),
    ],
    bad=[
        Bad(
            "启动 GateCtl 的虚拟机：\n\n```bash\nvirsh start gate-lab\n```",
            "an order: a step of some course",
        ),
        Bad(
            "可以用它来打开 GateCtl 的闸门：\n\n```bash\ngatectl open 3\n```",
            "它: what was named in an earlier sentence",
        ),
        Bad(
            "执行如下命令检查 GateCtl 是否已经校准：\n\n"
            "```bash\ngatectl check\n```\n\n然后重启闸门。",
            "one step of several",
        ),
        Bad(
            "如果要限制 GateCtl 的开度，先打开配置文件：\n\n```bash\nvi /etc/gate.ini\n```",
            "opens a file and does not show what to write",
        ),
        Bad(
            "执行如下命令检查 GateCtl 是否已经校准：\n\n打开窗口，看一眼外面的灯。",
            "no code",
        ),
    ],
)
def _shown(at: Place) -> Iterator[Candidate]:
    following = at.blocks[at.index + 1 : at.index + 3]
    if not following or following[0].kind != CODE or following[0].path != at.block.path:
        return
    if following[0].language in ("", "text", "txt", "log", "output", "console"):
        return  # as often what a program printed
    if any(_OF_ONE_COURSE.search(title) for title in at.block.path[-2:]):
        return
    if following[1:] and _GOES_ON.match(following[1].text if following[1].kind != CODE else "然后"):
        return  # one step of several
    said = sentences(at.block.text, semicolons=False)
    if not said:
        return
    sentence = tidy(said[-1])
    asked = _question(sentence)
    if not asked or _NO_QUESTION.search(asked) or OF_THE_BOOK.search(asked):
        return
    announced = replace(at.block, text=sentence, kind=PARAGRAPH, marker="")
    answer = compose([announced, following[0]])
    if answer:
        yield Candidate("how", asked, answer, composed=True)


def _question(sentence: str) -> str:
    if match := _SYNTAX.match(sentence):
        return f"{core(match['x'])}的{match['a']}是什么" if is_subject(match["x"]) else ""
    if match := (_RUN.match(sentence) or _TO.match(sentence) or _WITH.match(sentence)):
        return f"如何{spaced(match['task'])}" if says_object(match["task"]) else ""
    if match := _BY.match(sentence):
        by = match["x"].strip()
        return f"如何使用{spaced(by)}{' ' if by[-1].isascii() else ''}{match['task']}"
    if (match := _DONE.match(sentence)) and is_task(match["task"]):
        return f"如何{spaced(match['task'])}"
    return ""
