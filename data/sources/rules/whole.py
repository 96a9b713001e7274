"""A short section that as a whole answers what its heading asks, names as a task or as one side."""

import re
from collections.abc import Iterator, Sequence

from data.records import CODE, ITEM, Block
from data.sources.rules.compose import compose
from data.sources.rules.nouns import acts, core, is_definable, is_everyday, is_term, tags
from data.sources.rules.phrases import gap, spaced, unnumbered
from data.sources.rules.registry import Bad, Candidate, Good, Place, rule
from data.sources.sentence import strip_lead
from data.text import sentences

# A heading that asks, whoever reads it. What a thing is, is asked by definition.py and section.py.
_ASKS = re.compile(
    r"^(?:如何|怎么|怎样|为什么(?:要|会|需要|不)?|为何|什么时候|何时).{3,40}$"
    r"|^.{2,40}(?:有哪些.{0,8}|有什么(?:区别|不同|用处?|作用|好处|优点|缺点|特点)|怎么办"
    r"|(?:如何|怎么|怎样|为什么).{2,20})[？?]?$"
)
TASKS = (
    "安装|卸载|创建|新建|删除|移除|清空|更新|查询|查看|查找|搜索|插入|添加|增加|修改|更改|配置|设置|启动|停止|重启|使用|利用|通过|调用|实现"
    "|部署|编译|运行|执行|计算|获取|读取|写入|打开|关闭|连接|导入|导出|备份|恢复|迁移|升级|调试|监控|优化|遍历|排序|转换|生成|构建"
    "|初始化|释放|分配|申请|绑定|注册|发送|接收|解决|避免|防止|检测|检查|验证|判断|显示|打印|输出|声明|自定义|启用|禁用|开启|切换|合并"
    "|拆分|分割|压缩|加载|保存|复制|拷贝|拼接|替换|反转|交换|统计|限制|指定|捕获|处理|终止|等待|同步|传递|返回|覆盖|重载|扩展|扩容|加密|解密|查询|测量|减少|提高|隐藏|分析"
)
_TASK = re.compile(rf"^(?:{TASKS})(?![的了器者式数率])[^，。：:；]{{2,30}}$")
# 获取随机数的函数: which function does it?
_FUNCTION_TO = re.compile(
    rf"^(?P<task>(?:{TASKS})[^，。：；]{{2,16}}?)的(?P<sort>函数|命令|语句|方法)$"
)
_NO_TASK = re.compile(
    r"[和与及、/]|方法|方式|之后|可以|完成|类似|即|后$|建议|思路|说明$|原理|规则|技巧|流程$|函数\s*\w*$|语句$|命令$|工具$"
    r"|[时为是了]$|文件$|[后就能]|提供|需要|做的|[（(]"
)
_DONE_TO = re.compile(
    r"^(?P<x>[^，。：；的]{2,20})\s*的(?P<task>使用|创建|安装|配置|部署|实现|定义|声明|初始化|遍历|调用|删除|更新|查询|修改|编译|运行)"
    r"(?:方法|方式|步骤)?$"
)
# One side of a thing → how it is asked for. Only those of _ALONE follow a name without 的: what
# "取模操作" and "双工结构" name is one thing, not a side of it.
_SIDES = {
    "有哪些": "优点|缺点|优缺点|特点|特性|特征|优势|劣势|局限性?|好处|应用场景|使用场景|适用场景"
    "|注意事项|限制|分类|种类|组成部分|条件|参数|选项|实现方式|创建方式",
    "是什么": "原理|工作原理|实现原理|基本原理|工作机制|实现机制|执行过程|工作过程|工作流程"
    "|执行流程|生命周期|语法|语法格式|基本语法|用法|基本用法|返回值|时间复杂度|空间复杂度|基本思想|核心思想"
    "|作用|用途|意义|目的|含义|步骤|流程|定义",
}
_ALONE = (
    "优点|缺点|优缺点|特点|优势|应用场景|使用场景|适用场景|注意事项|原理|工作原理|实现原理|工作机制"
    "|执行流程|工作流程|生命周期|语法|用法|基本用法|基本语法|时间复杂度"
)
_ANY = "|".join(_SIDES.values())
_SIDE = re.compile(rf"^(?:(?P<x>.+?)\s*(?:的(?:{_ANY})|(?:{_ALONE}))|(?:{_ANY}))$")
_SIDE_NAME = re.compile(rf"(?:{'|'.join(sorted(_ANY.split('|'), key=len, reverse=True))})$")
_TWO = re.compile(
    r"^(?P<x>[^的]{1,24}?)\s*(?:和|与|跟|及|[vV][sS]\.?)\s*(?P<y>[^的]{1,24}?)\s*(?:之间)?的?(?:主要|本质)?"
    r"(?P<a>区别|差异|差别|不同(?:点|之处)?|对比|比较|异同|关系|联系)$"
)
_CAUSE = re.compile(
    "因为|由于|为了|避免|防止|从而|使得|导致|所以|原因|因此|以便|否则|减少|提高|解决|不用|不必|不会"
)
_NAME = re.compile(r"[A-Za-z_][\w.:<>]*(?:\(\))?", re.ASCII)
OF_THE_BOOK = re.compile(
    r"我|你|您|咱|这|那|它|他|该|此|本[章节书文例]|上述|上面|下面|其[它他]|以下|小结|总结|示例|例子|案例|实例|实战|练习|项目|环境|准备|背景|前言|代码|测试|第.[步章节]|[\[\]【】!！]|本地|最佳实践|问题$|讲师|优化思路|实验|解法|思路|方案|脚本"
)


@rule(
    "whole",
    kinds=("asked", "how", "explain", "enumeration", "comparison", "api"),
    patterns=(_ASKS, _TASK, _FUNCTION_TO, _DONE_TO, _SIDE, _TWO, _NAME),
    good=[
        Good(
            "# 为什么闸门控制器 GateCtl 要等两秒？\n\n水位传感器每两秒才更新一次读数。\n\n"
            "否则，控制器会根据旧的读数重复开闸。",
            "为什么闸门控制器 GateCtl 要等两秒？",
            "水位传感器每两秒才更新一次读数。\n\n否则，控制器会根据旧的读数重复开闸。",
        ),
        Good(
            "# 2.1 使用 GateCtl 打开闸门\n\n可以给出闸门的编号，命令会等到闸门完全打开才返回：\n\n"
            "```bash\ngatectl open 3\n```",
            "如何使用 GateCtl 打开闸门？",
            "可以给出闸门的编号，命令会等到闸门完全打开才返回：\n```bash\ngatectl open 3\n```",
        ),
        Good(
            "# 读取 GateCtl 水位的函数\n\nlevel() 返回当前的水位，单位是厘米。\n\n"
            "```c\nint h = level();\n```",
            "C 语言中用什么函数读取 GateCtl 水位？",
            "level() 返回当前的水位，单位是厘米。\n```c\nint h = level();\n```",
        ),
        Good(
            "# GateMap 的声明\n\n我们可以用闸门的编号作键，用它的开度作值：\n\n"
            "```cpp\nGateMap<int, float> gates;\n```",
            "C++ 中如何声明 GateMap？",
            "可以用闸门的编号作键，用它的开度作值：\n```cpp\nGateMap<int, float> gates;\n```",
        ),
        Good(
            "# GateCtl 的工作原理\n\nGateCtl 先读取水位，再根据水位和设定值的差算出闸门的开度。",
            "GateCtl 的工作原理是什么？",
            "GateCtl 先读取水位，再根据水位和设定值的差算出闸门的开度。",
        ),
        Good(
            "# GateCtl 的局限\n\n- 一次只能控制一道闸门\n- 断电之后要重新校准\n\n"
            "第二条在新的型号上没有。",
            "GateCtl 的局限有哪些？",
            "- 一次只能控制一道闸门\n- 断电之后要重新校准\n\n第二条在新的型号上没有。",
        ),
        Good(
            "# TCP 和 UDP 的区别\n\n"
            "TCP 先建立连接，并保证数据按顺序到达；UDP 直接发送，不保证到达。",
            "TCP和 UDP有什么区别？",
            "TCP 先建立连接，并保证数据按顺序到达；UDP 直接发送，不保证到达。",
        ),
        Good(
            "# gate_wait()\n\ngate_wait() 等到编号所指的闸门完全打开之后才返回。\n\n"
            "```c\ngate_wait(3);\n```",
            "请结合代码说明 gate_wait() 的用法。",
            "gate_wait() 等到编号所指的闸门完全打开之后才返回。\n```c\ngate_wait(3);\n```",
        ),
    ],
    bad=[
        Bad(
            "# 如何打开 GateCtl 的闸门\n\n如上图所示，先按住 A 键，再转动把手，直到指示灯亮起来。",
            "leans on a figure",
        ),
        Bad(
            "# 如何打开 GateCtl 的闸门\n\n先按住 A 键，再转动把手，直到指示灯亮起来。步骤如下：",
            "announces what does not stand here",
        ),
        Bad(
            "# 使用 GateCtl 打开闸门\n\n先按住按键，再转动把手，直到指示灯亮起来。",
            "a task without code or steps",
        ),
        Bad(
            "# gate_wait()\n\n有了开关之后，可以写出 gate_wait() 了：\n\n```c\ngate_wait(3);\n```",
            "goes on with a story",
        ),
        Bad(
            "# 为什么要用 GateCtl？\n\nGateCtl 是一种控制器，每天都有人用它开合闸门。",
            "names no cause",
        ),
        Bad("# GateCtl 开销分析\n\n先打印时间：\n\n```c\nprint(now());\n```", "no task: a noun"),
        Bad(
            "# 为什么要用 GateCtl？\n\n笔者去年在水库工作，那时候大家都还在用手工的办法开闸。",
            "the author tells of himself",
        ),
        Bad(
            "# 为什么要用 GateCtl？\n\n## 历史\n\n闸门一开始是用木头做的，靠人力来开合。",
            "the question's own section is empty; a part of it answers nothing",
        ),
        Bad(
            "# 升级 GateCtl 固件\n\n先关掉设备，再插入卡：\n\n```c\nstart();\n...\nstop();\n```",
            "code with a part left out",
        ),
    ],
)
def _whole(at: Place) -> Iterator[Candidate]:
    blocks = at.whole_section
    if not blocks or blocks[0].kind == CODE:
        return
    asked = _question(at.block.path, blocks)
    if not asked:
        return
    kind, question = asked
    answer = compose(blocks)
    if answer:
        yield Candidate(kind, question, answer, composed=True)


def _question(path: Sequence[str], blocks: Sequence[Block]) -> tuple[str, str] | None:
    """(kind, question) of a heading over these blocks; none where it asks nothing."""
    title = strip_lead(unnumbered(unnumbered(path[-1]))).strip("`*：: 。？?")
    if re.search(r"[（(].*[)）]$", title) and not title.endswith("()"):
        title = core(title)
    prose = "".join(block.text for block in blocks if block.kind != CODE).lower()
    code = "\n".join(block.text for block in blocks if block.kind == CODE)
    listed = sum(block.marker.rstrip(".").isdigit() for block in blocks) > 1
    if OF_THE_BOOK.search(title):
        return None
    if match := _TWO.match(title):
        if not (is_term(match["x"]) and is_term(match["y"])):
            return None
        what = "关系" if match["a"] in ("关系", "联系") else "区别"
        return "comparison", f"{core(match['x'])}和{spaced(core(match['y']))}有什么{what}"
    if _ASKS.match(title):
        what = re.match(r"(.+?)有哪些.*$", title)
        if what and not is_subject(what.group(1)):
            return None
        if re.search("为什么|为何", title) and not _CAUSE.search(prose):
            return None
        return "asked", title
    if _SIDE.match(title):
        return _asks_side(title, path, blocks, prose)
    if match := _FUNCTION_TO.match(title):
        return ("how", f"用什么{match['sort']}{match['task']}") if code else None
    if match := _DONE_TO.match(title):
        told = (code or listed) and is_subject(match["x"])
        return ("how", f"如何{match['task']}{spaced(core(match['x']))}") if told else None
    if _TASK.match(title) and is_task(title):
        return ("how", f"如何{spaced(title)}") if code or listed else None
    if code and len(title) > 2 and _introduces(title, blocks[0].text):
        if _NAME.fullmatch(title) and not _is_plain(title) and title.rstrip("()") in code:
            return "api", f"请结合代码说明{gap(title)}{title} 的用法"
        if is_definable(title, 16) and not acts(title):
            use = " 的用法" if title.isascii() else ""
            return "explain", f"请结合代码说明{gap(title)}{title}{use}"
    return None


def _asks_side(
    title: str, path: Sequence[str], blocks: Sequence[Block], prose: str
) -> tuple[str, str] | None:
    """X 的优点有哪些: X from the heading, or the one above; a list, or prose that names X."""
    side = _SIDE_NAME.search(title).group()
    subject = core(re.sub(r"\s*的?$", "", title[: -len(side)]))
    if not subject and len(path) > 1:
        subject = core(unnumbered(unnumbered(path[-2])).strip("`*：: "))
    if not is_subject(subject):
        return None
    if len(blocks) < 2 if blocks[0].kind == ITEM else subject.lower() not in prose:
        return None
    ask = next(ask for ask, sides in _SIDES.items() if re.fullmatch(sides, side))
    after = " " if subject[-1].isascii() else ""
    return ("enumeration" if ask == "有哪些" else "explain"), f"{subject}{after}的{side}{ask}"


def is_task(title: str) -> bool:
    """A verb with an object of its own: no 验证端口 of one page, no noun (调用开销分析)."""
    if _NO_TASK.search(title):
        return False
    if tags(title)[-1][1][0] not in "nxeijlq" or tags(title)[-1][1] == "vn":
        return False
    return says_object(title) or len(title) == 6


def says_object(task: str) -> bool:
    """Does a task name what it is done to, by a Latin name or a phrase of some length?"""
    return bool(re.search("[A-Za-z]{2,}", task)) or len(task) >= 7


def _introduces(title: str, text: str) -> bool:
    """Does a section begin with its heading's name, or with what is called so?

    "现在可以写 deepEq 函数了" goes on with a story.
    """
    name = re.escape(title)
    first = (sentences(text, semicolons=False) or [""])[0]
    begins = rf"[`*]*{name}[`*]*\s*(?:[（(][^（）()]*[)）])?\s*(?!也|的|还|，|应该|比较|其实|很|就)"
    return bool(
        re.match(begins, first, re.I)
        or re.search(rf"(?:称为|称作|叫做|叫作)[`*]*{name}", first, re.I)
    )


def _is_plain(title: str) -> bool:
    return bool(re.fullmatch("[A-Z]?[a-z]+", title))


def is_subject(name: str) -> bool:
    """A term, or a name of code, that is no plain word."""
    name = core(name)
    if len(name) < 2 or OF_THE_BOOK.search(name):
        return False
    if _NAME.fullmatch(name):
        return not re.fullmatch("[A-Z]?[a-z]{1,5}", name)
    return is_definable(name, 20) and (not is_everyday(name) or bool(re.search("[A-Z]", name)))
