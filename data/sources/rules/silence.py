"""When a rule's proposal is dropped after all: the pair would not stand alone.

Each check has a name and sees the question, the answer and the kind; `why_silent` names the first
that objects. They were found by reading pairs of books that nobody here wrote; sentences of the
same shapes, written anew, are in `tests/data_rules_silence.jsonl`.
"""

import re
from collections.abc import Callable, Collection

from data.records import VERBATIM
from data.sources.rules.nouns import tags
from data.text import sentences

_LEFT_OVER = re.compile(
    r"\[(?:公式|图|表)|如 所示|[见在] [，。中]|【|(?<![A-Za-z0-9_])_[\u4e00-\u9fff（(]|[⟨⟩]"
    r"|\w\^[A-Z]{2}|\{\{|\}\}|\{%|:::|</?[a-z]{1,10}(?:\s[^>]*)?/?>(?<!<T>)|!\[|\]\(|\[\^|\[\[|\{[:#.]"
    r"|[（(]\d+[.-]\d+[)）]|&[a-z]{2,6};|\\(?:text|cite|ref|label|begin|emph)\b|={3,}|-{4,}|\|\s*\|"
)
# <a>标签: a tag spoken of, no leftover of a page.
_TAG_AS_NAME = re.compile(r"<[a-z][a-z0-9]*>(?=\s*(?:标签|元素|、|和|与))")
_ADDS_ON = re.compile(
    r"(?:也|还|又|同样|亦)(?:是|有|可|能|会|被|称|叫|使|提供|包|需|属)|另[一外]|还有|再次|[是为]一?(?:个|种)?(?:新的|相似|类似|同样|相同)"
    r"|其余|剩下|第[一二三四五六七][个种类步点]|仍然?是|依然是|此时|当时|这时"
)
_CHATS = re.compile(
    r"不会详细|不用说|"
    r"不讲|不要混淆|感兴趣|自行|不过多|过多介绍|炫酷|逼格|就不(?=[说写展])|小伙伴|但实际上|姑且|讲解|不做证明|不再赘述|本课|考试|刷刷|[啦呢嘛吧哦呀](?=[，。！])|哈哈|^众所周知|译注|译者|LCTT"
    r"|本(?:通路|系统|方法|算法|模型|项目|程序|课程|公司|办法|研究|教程|站|文|书|节|章)"
)
_DATED = re.compile(
    r"今年|去年|明年|最近(?:[，几的]|开源|发布|推出|提出)|目前(?:还|暂|尚)|近[几两]年|近年来|比较新|刚刚?(?:发布|推出)|停止维护|截[至止]|写作时|现阶段|前不久|今天[，的我]"
)
# A demonstrative and what it points at: "此标志", "这种情况", "上述两种".
_DEMONSTRATIVE = re.compile(
    r"(?:这|那)(?:个|种|样(?!的)|些|类|里|点|次|段|一|两|几|三)|(?<![如因由从彼在])此(?![外时后前类刻])"
    r"|(?<!应)该(?!死)|上述|前述|同样的|其中[一之](?!一)"
)
_NARRATES = re.compile(
    r"(?:我们|咱们|你)(?:先|再|就|也|还|都|又|只|刚|正|现|已|将|会|在|想|希望|看|试|从|的|把|考虑|今后|通常把|用|使用"
    r"|定义|选|发现|知道|得到|讨论|介绍|实现|不|现在|今天|这|做|接着|需要(?:收集|调整))"
)
_SUPPOSES = re.compile(
    r"^(?:假设|假定|假如|设想|想象|不妨|[令设](?=\s*[A-Za-z$])|给定一)|，(?:假设|假定|不妨|比方说)"
)
_FORMULA = re.compile(r"\$|\\[a-z]+|\^\{|_\{")
_VARIABLE = re.compile(
    r"(?<![A-Za-z0-9_+#.\-（(])[A-Zabd-z](?![A-Za-z0-9_+#.\-'/）)]|\s?(?:语言|类|级|型|盘|网|端|轮|树))"
)
_ONE_EXAMPLE = re.compile(
    r"[（(]\d+[)）]|(?:节点|线程|进程|变量|数组|用户|任务|流|层|步骤|元素|类|函数|矩阵|位置)\s?"
    r"(?:\d+|[A-Z])(?![\w.])|小明|小红|习题|(?<![A-Za-z])(?:[Ff]oo|[Bb]ar|[Bb]az|My[A-Z][a-z]+)(?![A-Za-z])|小王|张三|李四"
)
# Plain words, of which a question cannot say which one is meant.
_PLAIN = frozenset(
    """算法 模型 程序 应用 应用程序 用户 系统 函数 数据 方法 驱动程序 内核 参数
    变量 返回值 结果 代码 文件 命令 工具 对象 类 接口 服务 软件 硬件 语言 环境
    网络 项目 客户端 服务器 节点 训练集 测试集 样本 特征 矩阵 向量 数组 资源
    资料 模块 脚本 例程 组件 配置 选项 属性 字段 元素 任务 页面 信息 消息 目录
    仓库 引擎 专家 第三方 开发者 开发人员 程序员 管理员 维护者 作者 API api 机器 计算机
    数据集 训练数据 学习算法 状态 输入 输出 目标 代价 误差 问题 软件包 源代码
    补丁 装置 仪器 设备 实验 测试内容 游戏 公司 企业 国家 政府 市场 价格 体系 家庭 学生
    患者 病人 医生
    """.split()  # noqa: SIM905 - reads better than a list
)
_NO_TERM = frozenset(
    """思想 基本思想 主要思想 核心思想 实现方法 计算方法 处理方法 运行时 最优解 目标
    结果 输出 输入 参数 返回值 变量 打印变量 方向向量 语法 格式 形式 本质 答案 收缩
    """.split()  # noqa: SIM905 - reads better than a list
)
_SUBJECT = re.compile(
    r"^(?P<x>.+?)(?:的作用是什么|适合用在什么情况下"
    r"|擅长什么|(?:由|有|具有|包括|包含|支持|提供)哪些.*|(?:可以)?分为哪?几.*)？$"
    r"|^什么是\s*(?P<d>.+)？$|^请简要(?:介绍|说明)\s*(?P<e>.+)。$"
)


def _points(question: str, answer: str, kind: str) -> bool:
    """A demonstrative whose noun was not named before it: "应指定此标志" without any flag."""
    if _DEMONSTRATIVE.search(question) or re.search(r":(?:eqref|numref|ref):", answer):
        return True
    if re.search(r":\w+:|以前|之前|先前|刚才", question):
        return True
    first = (sentences(answer, semicolons=False) or [""])[0]
    for match in _DEMONSTRATIVE.finditer(first):
        if match.start() == 0:
            return True
        words = [w for w, flag in tags(first[match.end() : match.end() + 12]) if len(w) > 1]
        before = first[: match.start()]
        if not words or not ("，" in before or "；" in before or "：" in before):
            return True
        if words[0] not in before and words[0][-1] not in before:
            return True
    return False


def _narrates(question: str, answer: str, kind: str) -> bool:
    """我们 and 你 who do something at this place of the book."""
    if re.search(r"我们|咱们|你|大家", question):
        return True
    return bool(_NARRATES.search(answer) or re.search("你|大家|让我们|我们[可能就先再来]", answer))


def _supposes(question: str, answer: str, kind: str) -> bool:
    """假设 …: a supposition of one example, taken for a fact."""
    return bool(_SUPPOSES.search(answer))


_PRAISE = re.compile(
    "最重要|最常|很棒|最早|最受|伟大|便捷|方便的|崭新|下一代|轻量级的|生产就绪|桥梁|榜单|众多|无价|深受|可喜|号称|世界上最"
    "|的产物|博采众长|彻彻底底|款优秀的|开发很活跃|神器|最火"
    "|目前[^，。]{0,12}最"
)


def _praises(question: str, answer: str, kind: str) -> bool:
    """ "…最重要的指标之一": what should say what a thing is and praises it instead."""
    if kind not in ("definition", "explain"):
        return False
    first = re.split("[。；]", answer)[0]
    if kind == "definition" and ("$$" in answer or re.search("之一$|之一，", first)):
        return True
    return bool(_PRAISE.search(first))


# What says how a thing stands, where it comes from or how big it is, and not what it is.
_STATUS = re.compile(
    r"事实上?的?标准|是自[^，。]{1,40}以来的|是安装[^，。]{1,40}后(?:获得|得到|提供|附带|自带)的"
    r"|增长最快|发展最快|点击率|是一[个种款套](?:非常|十分|相当|很|特别|极其|极为)"
)
_SIZE = re.compile(
    r"是[^，。的]{0,12}的?[前后][^，。]{0,3}\d+\s?(?:个|位)?(?:字节|比特|位|bit|byte)s?$"
)


def _tells_status(question: str, answer: str, kind: str) -> bool:
    """ "X 是…的事实标准", "X 是安装…后获得的命令": no definition."""
    if kind not in ("definition", "explain"):
        return False
    first = re.split("[。；，]", answer)[0]
    return bool(_STATUS.search(first) or (_SIZE.search(first) and len(answer) - len(first) < 8))


_FOR_WHAT = re.compile(r"(?:用于|用来|用以)(?P<what>[^，。；]+)。?$")
LEAST_PURPOSE = 6  # characters that a purpose needs beside its name


def _says_no_purpose(question: str, answer: str, kind: str) -> bool:
    """ "bunzip2 命令用来解压压缩的数据": five signs, which the name says as well."""
    match = kind == "purpose" and _FOR_WHAT.search(answer)
    if not match or re.search("[A-Za-z]{2,}|[。；，]", match["what"]):
        return False
    return len(set(re.findall("[\u4e00-\u9fff]", match["what"])) - {"的"}) < LEAST_PURPOSE


_LIKENESS = re.compile(
    r"(?:与|跟|和|同)[^，。]{1,24}(?:类似|相似|相反|相同的|一样的?)(?=[，。、\u4e00-\u9fff])|类似于|的替代(?:品|者|方案)?[，。]"
    r"|比[^，。]{2,40}(?:更|还要)"
)


def _likens(question: str, answer: str, kind: str) -> bool:
    """ "X 与 Y 正好相反": says what it is by another thing, which the question does not name."""
    if kind not in ("definition", "explain", "purpose", "api"):
        return False
    return bool(_LIKENESS.search(re.split("[。；]", answer)[0] + "。"))


def _lists(question: str, answer: str, kind: str) -> bool:
    """ "包括： (1)…": the beginning of a list in an answer that is none."""
    return kind != "enumeration" and bool(re.search(r"[（(]1[)）]|：\s*1[.、]", answer))


# "A 用于…；B 用于…", "ACID 是…，CAP 是…": what a question about A has in common with B.
_SECOND = re.compile(
    r"[；;，,]\s*而?\s*[A-Za-z_][\w.]*(?: [A-Za-z]+)?(?:\(.*?\))?\s*(?:则|也)?"
    r"(?:是|用于|用来|返回|表示|负责|指|适|确保|则)"
)


def _contrasts(question: str, answer: str, kind: str) -> bool:
    """One half of a contrast of two names."""
    if kind in ("comparison", "enumeration", "expression"):
        return False
    return bool(_SECOND.search(re.split("。", answer)[0]))


def _describes_a_parameter(question: str, answer: str, kind: str) -> bool:
    """ "transfer（可选）是…", "muted 是否静音": a parameter or a switch of something."""
    return bool(
        re.match(r"[^，。：]{1,40}(?:[（(]可选|[：:]?\s*是否)|[^。]*可选(?:参数|项)", answer)
    )


_LEAST_SAID = 20  # characters of a definition; of 4 shorter ones that were read 1 was good
_HISTORY = re.compile(
    r"\d{4}\s*年(?!.{0,40}的[\u4e00-\u9fff]{2,8}$)|发明|创立|最初|收购|\d{4}\s*年?(?:由|被|推出|提出|发布|诞生)"
)


def _says_little(question: str, answer: str, kind: str) -> bool:
    """A dozen words, or only when and by whom a thing was made."""
    if kind not in ("definition", "explain"):
        return False
    first = re.split("[。；]", answer)[0]
    if len(answer) < _LEAST_SAID:
        return True
    return len(answer) - len(first) < 8 and bool(_HISTORY.search(first))


def _labels(question: str, answer: str, kind: str) -> bool:
    """ "VARCHAR：长度变化明显的数据": an entry of a list on something else, its term a label."""
    return kind == "explain" and bool(re.match(r"[A-Za-z][\w .()\-]*：", answer))


def _doubled(question: str, answer: str, kind: str) -> bool:
    """文件头文件头: a caption run into its sentence."""
    return bool(re.search(r"([\u4e00-\u9fff]{2,})\1|\b([A-Za-z]{2,}) \2\b", question))


def _formula(question: str, answer: str, kind: str) -> bool:
    """A formula or a lone letter in the question: its owner stands somewhere else."""
    if kind == "expression":
        return False
    return bool(_FORMULA.search(question) or _VARIABLE.search(question))


def _example(question: str, answer: str, kind: str) -> bool:
    """节点 3, 用户 A, 小明: people and things of one example."""
    if kind == "expression":
        return False
    return bool(_ONE_EXAMPLE.search(question) or re.search(r"(?<![\w.])[a-z]\.\w", question))


def _nameless(question: str, answer: str, kind: str) -> bool:
    """A plain word as the subject: 算法, 应用程序, Ns: which one?"""
    match = _SUBJECT.match(question)
    if not match:
        return False
    subject = next(filter(None, match.groups())).strip()
    defined = match["d"] or match["e"]
    if subject in (_NO_TERM if defined else _PLAIN) or re.match(
        r"具体|唯一|第\d|第[一二三四五]|所有(?!权)|以下|各种|一些|这|该|整个", subject
    ):
        return True
    # One or two letters name a parameter of one function, unless they are an abbreviation.
    letters = 1 if defined else 2
    return bool(re.fullmatch(rf"[a-z]\w{{0,{letters}}}|[A-Z][a-z]", subject))


def _unfinished(question: str, answer: str, kind: str) -> bool:
    """What was a formula or a figure of its own is missing: "…的梯度为。"."""
    end = (
        r"(?:[；;：:]\s*\d+[.、]?|为|是|如|即|得|有|：|记作|等于|表示为|定义为|满足|使得|如下"
        r"|包括|包含)[。.]$|\b(?:Inc|Ltd|Co|vs|etc|e\.g|i\.e|No)\.$"
    )
    return bool(re.search(end, answer.strip()))


def _left_over(question: str, answer: str, kind: str) -> bool:
    """Marks of a reader or a page: [公式 3.1], {{…}}, <br>, an equation's number."""
    marked = "*" in question and kind != "expression"
    said = _TAG_AS_NAME.sub("", question + "\n" + answer)
    return marked or bool(_LEFT_OVER.search(said))


def _adds_on(question: str, answer: str, kind: str) -> bool:
    """也是, 另一种, 还有: a sentence that goes on from the one before it."""
    first = re.split("[，。；]", answer)[0]
    return bool(_ADDS_ON.search(first))


def _chats(question: str, answer: str, kind: str) -> bool:
    """姑且, 不做证明, …吧: the author speaks to the reader about the lesson."""
    return bool(_CHATS.search(answer))


def _dated(question: str, answer: str, kind: str) -> bool:
    """What holds where and when the book was written: 目前, 最近, 今年."""
    return bool(_DATED.search(answer))


# Signs of other scripts that a PDF's broken letters turn into: 返 for 这 has to be let pass.
_BROKEN = re.compile("[収丌叧迕刡乊杢敁顷](?!刻)")


# "采用同时采用多种连接", "如何使用 run 执行搜索使用？": a verb where its sentence was rewritten.
_VERBS = "采用|使用|利用|提供|支持|包含|包括|实现|具有"
_TWICE = re.compile(rf"({_VERBS})(?:同时|并且|来|以|和|并)?\1")
_VERB_LEFT = re.compile(r"(使用|采用|利用|执行).*\1？$")


def _garbled(question: str, answer: str, kind: str) -> bool:
    """What a PDF's formulas and margins leave in a sentence, and two phrases run together."""
    if re.search("[\u4e00-\u9fff] +[\u4e00-\u9fff]", question):
        return True
    if _TWICE.search(question + "\n" + answer) or _VERB_LEFT.search(question):
        return True
    if re.match(r"[A-Z] [A-Z] ", answer) or _BROKEN.search(question + answer):
        return True
    letters = r"(?:(?<![A-Za-z0-9])[A-Za-z0-9](?![A-Za-z0-9])\s+){3,}"
    return bool(
        re.search(
            letters
            + r"|[\u4e00-\u9fff] [，。、]|其中 是|。”。|。。"
            + r"|[a-z]-\s*[\u4e00-\u9fff]|[\u4e00-\u9fff] {2,}[\u4e00-\u9fff]",
            answer,
        )
    )


_OPTION = re.compile(r"(?<![\w\-])--?[A-Za-z][\w\-]*", re.ASCII)


def _ownerless(question: str, answer: str, kind: str) -> bool:
    """ "Linux 中如何使用 -d 选项创建目录？": an option, and no command that has it."""
    if kind == "expression" or not _OPTION.search(question):
        return False
    bare = re.sub(r"^[^，。]{1,20}? ?中", "", _OPTION.sub("", question))
    return not re.search("[A-Za-z]{2,}", bare)


CHECKS: dict[str, Callable[[str, str, str], bool]] = {
    "points": _points,
    "narrates": _narrates,
    "supposes": _supposes,
    "unfinished": _unfinished,
    "praises": _praises,
    "tells_status": _tells_status,
    "says_no_purpose": _says_no_purpose,
    "likens": _likens,
    "lists": _lists,
    "garbled": _garbled,
    "left_over": _left_over,
    "adds_on": _adds_on,
    "dated": _dated,
    "chats": _chats,
    "formula": _formula,
    "contrasts": _contrasts,
    "parameter": _describes_a_parameter,
    "says_little": _says_little,
    "labels": _labels,
    "doubled": _doubled,
    "example": _example,
    "nameless": _nameless,
    "ownerless": _ownerless,
}


# Those that hold for prose of several paragraphs, too.
OF_SEVERAL = (
    "points",
    "narrates",
    "left_over",
    "dated",
    "chats",
    "garbled",
    "formula",
    "example",
    "ownerless",
)


def why_silent(
    question: str, answer: str, kind: str, checks: Collection[str] = CHECKS.keys()
) -> str:
    """Name of the first of the `checks` that objects to a polished pair, or ""."""
    if kind in VERBATIM:
        return ""
    return next((name for name in checks if CHECKS[name](question, answer, kind)), "")
