"""Phrases that several rules need: titles, claims, actions, and what refers to something unseen."""

import re
from collections.abc import Sequence

from data.sources.rules.nouns import core, is_owner, leading_term, tags
from data.sources.sentence import is_standalone

# A term's English name in brackets, which belongs to it: 线程束（warp）.
ENGLISH = r"(?:\s*[（(][^（）()]{1,60}[)）])?"
_NUMBERING = re.compile(
    r"^(?:第.{1,4}[章节篇部]|附录[A-Z]?|[A-Z](?:\.\d+)+\.?(?=\s)|[\d.]+|[一二三四五六七八九十]+、|[（(]?\d+[)）.、]|※)\s*"
)


VERB = re.compile(
    r"^(?:主要|通常|一般)?(?:用于|用来|用以|是|指(?![令针向数])|表示|代表|返回|提供|负责"
    r"|可以|能够?|会|将|让|使(?!得)|存放|存储|保存|记录|控制|支持|获取|定义|声明"
    r"|标识|只能|必须|执行|实现|完成|等待|释放|分配|阻塞|查询|设置|创建|指定)"
)
# How an explanation begins that says what its term is or does. "性能提升：与原来相比，…" tells of
# one case, "macOS：图形化安装" of one procedure.
TELLS = re.compile(
    r"^(?:一[种个类款套组份]|由[^于]|将|把|对[^于]|为(?!了)|以[^及]|用于|用来|描述|包含|包括|处理|收集|列出|显示"
    r"|打印|输出|读取|写入|打开|关闭|启动|停止|删除|清理|添加|移除|修改|改变|移动|复制|检测|验证|加密|解密|编译|运行|连接"
    r"|计算|比较|转换|替换|查找|搜索|匹配|生成|构建|安装|更新|合并|切换|管理|监控|限制|允许|禁止|防止|记载|规定)"
    r"|^(?:(?!具有|拥有|采用|存在|带来|可以|能够|需要|在于|使|让|享有|占)[^，。；：]){4,40}的[\u4e00-\u9fffA-Za-z]{2,10}(?=[，。；]|$)"
)


def unnumbered(title: str) -> str:
    """A heading without its number: 第1章, 附录A, A.1, 1.2, 一、, (1)."""
    return _NUMBERING.sub("", title)


def title_term(path: Sequence[str]) -> str:
    """The innermost heading without its number, brackets and Markdown."""
    return core(unnumbered(path[-1]).strip("`* ")) if path else ""


def gap(text: str) -> str:
    """The space that parts Chinese from an ASCII word after it, or none."""
    return " " if re.match(r"[A-Za-z_<]", text.strip()) else ""


def spaced(text: str) -> str:
    """`text` as it stands after Chinese: with a space before an ASCII word."""
    return gap(text) + text


def refers_to_unseen(sentence: str) -> bool:
    """Does a sentence hold 这种, 我们, 它, 其中一 and the like, which refer to another sentence?"""
    return bool(
        re.search(r"这[个种样些里]|那[个种样些]|我们|咱们|它们?|其中[一之]|同样的", sentence)
    )


def is_claim(text: str) -> bool:
    """A clause with its own subject, fit to stand after 为什么."""
    if re.match(r"\S{1,4}[了着]", text) or re.search(r"这[个种些样]|它|我们", text):
        return False
    return is_owner(leading_term(text, 20)) and is_standalone(text)


_ANYBODY = re.compile("应用程序|程序|用户|系统|代码|算法|模型|内核|结果|函数|网络|数据|它们")


def says_something(clause: str) -> bool:
    """Does a clause say something of its subject? "为什么线性回归模型" asks for nothing."""
    head = leading_term(clause, 20)
    rest = clause[len(head) :]
    if _ANYBODY.fullmatch(core(head)) or re.search(
        r"也(?:被|是|会|可|能|要|就)|略有|有所|之所以|四个|[两三]者", clause
    ):
        return False
    # "CPU 代码将无法访问": what? The object stands in the sentence's other half.
    if re.search(r"(?:访问|使用|执行|读取|写入|调用|获得|得到|看到|支持|需要)$", rest):
        return False
    if re.match(r"(?:根据|按照?|使用|利用|称为|叫做|记作|表示为|对应)", rest):
        return False  # a step of one derivation
    bare = re.match(r"[^，]{0,4}的[^，]{1,8}$", rest)
    bare_noun = bare and tags(rest)[-1][1] in ("n", "vn", "nz")
    if bare_noun or re.search(r"(?:之?后|时|之?前)$", rest):
        return False  # "y2 读取完之后", "缓存友好的循环": no predicate
    return len(rest) >= 2 and any(flag[0] in "vadz" for _, flag in tags(rest))


def is_action(text: str) -> bool:
    """A verb phrase without pronouns, fit to stand after 如何."""
    words = tags(text)
    return (
        bool(words)
        and words[0][1][0] in "vd"
        and is_standalone(text)
        and not re.search(r"这|它|我们|该|其(?!他)|此", text)
        and names_something(text)
    )


def is_telling(goal: str) -> bool:
    """A goal that is the same everywhere: "打印图像" or "简化代码" are steps of one example."""
    if re.search(r"[A-Za-z]{3,}", goal):
        return True
    return len(re.sub("[^\u4e00-\u9fff]", "", goal)) >= 6


def names_something(question: str) -> bool:
    """Does a question say what it is about, without pronouns?"""
    if re.search(r"这|那|它|该|此|我们|上面|下面|其[中他]|两者", question):
        return False
    return bool(re.search(r"[A-Za-z]{2,}", question)) or any(
        flag[0] == "n" and len(word) > 1 for word, flag in tags(question)
    )


def says_enough(explanation: str, least: int = 10) -> bool:
    """More than a name in other words ("返回首元素的引用"): `least` Chinese characters."""
    return len(re.findall("[\u4e00-\u9fff]", re.split("。", explanation)[0])) >= least
