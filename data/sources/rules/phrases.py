"""Phrases that several rules need: titles, and how an explanation begins."""

import re
from collections.abc import Sequence

from data.sources.rules.nouns import core

# A term's English name in brackets, which belongs to it: 线程束（warp）.
ENGLISH = r"(?:\s*[（(][^（）()]{1,60}[)）])?"
_NUMBERING = re.compile(
    r"^#*\s*(?:第.{1,4}[章节篇部]|附录[A-Z]?|[A-Z](?:\.\d+)+\.?(?=\s)|[\d.]+|[一二三四五六七八九十]+[、.．]|[（(]?\d+[)）.、]|※)\s*"
)
# The heading of a section that introduces what the heading above it names.
_INTRODUCTION = re.compile(
    r"(?:基本|核心|相关)?(?:简介|介绍|概述|概念|定义|含义|引言|背景知识)"
    r"|它?是什么[？?]?|什么是它?[？?]?"
)
VERB = re.compile(
    r"^(?:主要|通常|一般)?(?:用于|用来|用以|是(?!否|不是)|指(?![令针向数定])|表示|代表|返回(?![的值])|提供|负责"
    r"|可以|能够?|会(?![话议员计])|将|让|使(?![得用])|存放|存储|保存|记录|控制|支持|获取|定义|声明"
    r"|标识|只能|必须|实现|等待|释放|分配|阻塞|查询|设置|创建|指定)"
)
# How an explanation begins that says what its term is or does. "性能提升：与原来相比，…" tells of
# one case, "macOS：图形化安装" of one procedure.
_ACTS = (
    r"描述|包含|包括|处理|收集|列出|显示"
    r"|打印|输出|读取|写入|打开|关闭|启动|停止|删除|清理|添加|移除|修改|改变|移动|复制|检测|验证|加密|解密|编译|运行|连接"
    r"|计算|比较|转换|替换|查找|搜索|匹配|生成|构建|安装|更新|合并|切换|管理|监控|限制|允许|禁止|防止|记载|规定"
)
ACTS = re.compile(rf"^(?:{_ACTS})")
TELLS = re.compile(
    rf"^(?:一[种个类款套组份]|由[^于]|将|把|对[^于]|为(?!了)|以[^及]|用于|用来|{_ACTS})"
    r"|^(?:(?!具有|拥有|采用|存在|带来|可以|能够|需要|在于|使|让|享有|占)[^，。；：]){4,40}的[\u4e00-\u9fffA-Za-z]{2,10}(?=[，。；]|$)"
)


def unnumbered(title: str) -> str:
    """A heading without its number: 第1章, 附录A, A.1, 1.2, 一、, (1)."""
    return _NUMBERING.sub("", title)


def title_term(path: Sequence[str]) -> str:
    """The innermost heading without its number, brackets and Markdown."""
    return core(unnumbered(path[-1]).strip("`* ")) if path else ""


def is_introduction(title: str) -> bool:
    """简介, 是什么？: a heading that introduces what the one above it names."""
    return bool(_INTRODUCTION.fullmatch(unnumbered(title).strip("`* ")))


def introduced_names(path: Sequence[str]) -> list[str]:
    """What a section introduces by its heading: 什么是 X？, X 简介, <a>, 特征（Trait）."""
    if not path:
        return []
    title = unnumbered(path[-1]).strip("`* ")
    if is_introduction(path[-1]) and len(path) > 1:
        return [name for name in introduced_names(path[:-1]) if not _INTRODUCTION.fullmatch(name)]
    if tag := re.match(r"`?(<[a-z][a-z0-9]*>)", title):
        return [tag.group(1)]
    bare = re.sub(r"[？?]$", "", title_term(path)).strip()
    bare = re.sub(r"^什么是\s*|^认识\s*|\s*的?(?:是什么|简介|介绍|概述|的概念|的定义)$", "", bare)
    names = [core(bare)]
    names += re.findall(r"[（(]([A-Za-z][\w .\-]+)[)）]", title)
    return [name.strip() for name in names if len(name.strip()) > 1]


def gap(text: str) -> str:
    """The space that parts Chinese from an ASCII word after it, or none."""
    return " " if re.match(r"[A-Za-z_<]", text.strip()) else ""


def spaced(text: str) -> str:
    """`text` as it stands after Chinese: with a space before an ASCII word."""
    return gap(text) + text


def says_enough(explanation: str, least: int = 10) -> bool:
    """More than a name in other words ("返回首元素的引用"): `least` Chinese characters."""
    return len(re.findall("[\u4e00-\u9fff]", re.split("。", explanation)[0])) >= least
