"""A section's first paragraph that introduces the term which the heading names."""

import re
from collections.abc import Iterator, Sequence

from data.sources.rules.nouns import is_definable, tags
from data.sources.rules.phrases import gap, introduced_names
from data.sources.rules.registry import Bad, Candidate, Good, Place, rule
from data.sources.sentence import clean_sentences, is_standalone
from data.text import cjk_share

MIN_ANSWER, MIN_CODE_ANSWER, MAX_ANSWER = 40, 28, 260
# A name of code, of which a heading's first sentence may say anything that it does.
_CODE = re.compile(
    r"<[a-z][a-z0-9]*>|(?=.*[_.:]|.*[a-z][A-Z]|[a-z]+$)[A-Za-z_$@][\w.:$@\-]{2,40}", re.ASCII
)
_DOES = re.compile(
    r"[`*]*(?:\([^()]{0,60}\))?[`*]*\s*(?:函数|方法|命令|属性|语句|关键字|运算符|指令|标签|元素|字段|选项|参数|对象|接口|模块)?\s*"
    r"(?:则|会|可以?|能够?|主要|通常|一般)*(?:返回(?!的|值)|检查|判断|获取|设置|创建|删除|添加|移除|合并|复制|遍历|查找|搜索|替换|转换|计算|比较"
    r"|执行|运行|等待|启动|停止|打开|关闭|读取|写入|发送|监听|触发|注册|列出|显示|打印|输出|生成|构建|指定|控制|限制|实现|封装|包装|让|使(?!得|用))"
)
# What an introduction says first of its term. "X 也是一种…", "X 是最…的", "X 额外引入了…" introduce
# nothing.
_INTRODUCES = re.compile(
    r"[》”\"」`*]*\s*(?:[（(][^（）()\u4e00-\u9fff]{1,80}[)）])?[》”\"」`*]*\s*"
    r"(?:函数|方法|命令|软件包|程序|工具|脚本|文件|关键字|运算符|属性|对象|语句|模块|算法|模型|技术|协议|语言|指令|接口)?\s*"
    r"(?:，?(?:又|也|亦|简|全|通)?称[为作]?[^，。]{1,30}，)?\s*(?:本质上|其实|主要|通常|一般|就|则)*"
    r"(?:是(?!否|不|什么|因为|由于|如何|为了|非常|很|最|更|较|比较|另|[^，。]{0,30}(?:最|之一|另一|重要|关键|基础|补充|核心))|指(?!出|向)|用于|用来|用以|负责|表示|代表|提供了?一|返回|允许"
    r"|位于|描述|定义|存储|存放|记录|把|将|由(?!于)|接受|建立)"
)
# "SD-WAN关注的是低成本": another name, of which a contrast with the term is told.
_OTHER_SUBJECT = re.compile(
    r"[A-Z][\w\-]*(?: [A-Z][\w\-]*)*\s*(?:则|却)?(?:关注|强调|侧重|着眼|解决)的?"
)
_CIRCUMSTANCE = re.compile(r"在|当|如果|若|为了|由于|请|将|把")


@rule(
    "section",
    kinds=("explain",),
    patterns=(),
    good=[
        Good(
            "# 3.1 共享内存\n\n共享内存位于芯片上，由同一个线程块的全部线程共用。"
            "它的延迟远低于全局内存，适合存放反复读取的数据。",
            "请简要介绍共享内存。",
            "共享内存位于芯片上，由同一个线程块的全部线程共用。"
            "它的延迟远低于全局内存，适合存放反复读取的数据。",
        )
    ],
    bad=[
        Bad(
            "# 3.1 共享内存\n\n使用共享内存之前，先要想清楚哪些数据会被反复读取，"
            "再决定怎样分块，最后才动手写代码。",
            "the term is part of an order, not what the sentence is about",
        ),
        Bad(
            "# 3.2 集群调度\n\n集群调度额外引入了两个队列，"
            "高优先级的任务先进入第一个队列，等待时间超过上限之后换到第二个队列。",
            "tells what was changed, not what it is",
        ),
    ],
)
def _section(at: Place) -> Iterator[Candidate]:
    block = at.block
    if not at.opens_section:
        return
    found = clean_sentences(block.text)
    opening = found[0] if found else ""
    term = _opens_with(introduced_names(block.path), opening)
    if not term or block.text.rstrip().endswith(("：", ":")) or not is_standalone(opening):
        return
    first = tags(opening)[0][1] if opening else ""
    if (
        _CIRCUMSTANCE.match(opening)
        or (opening.lower().startswith(f"{term.lower()}，"))
        or (first.startswith("v") and not opening.lower().startswith(term.lower()))
    ):
        return
    answer = ""
    for sentence in found:
        if len(answer) + len(sentence) > MAX_ANSWER or not sentence.endswith(("。", "！")):
            break
        if answer and not is_standalone(re.sub(r"^(?:它|其|该|这|此)", "", sentence)):
            break
        if answer and re.search(
            "^毕竟|请遵循|请参|您就|时机|我们|你|大家|假设|例如|比如|在.{2,12}中，", sentence
        ):
            break
        if answer and _OTHER_SUBJECT.match(sentence) and not _opens_with([term], sentence):
            break
        answer += sentence
    # What the last sentence announces would be missing: "它包含两个阶段。"
    answer = re.sub(
        r"[^。]*(?:[两三四五几多]|以下|如下)(?:个|种|类|点|方面)[^。，：]{0,6}。$", "", answer
    )
    least = MIN_CODE_ANSWER if _CODE.fullmatch(term) else MIN_ANSWER
    if len(answer) >= least and cjk_share(answer) > 0.3:
        yield Candidate("explain", f"请简要介绍{gap(term)}{term}", answer)


def _opens_with(names: Sequence[str], opening: str) -> str:
    """Which of a heading's names does the sentence begin with and introduce?"""
    for name in names:
        place = opening.lower().find(name.lower())
        code = _CODE.fullmatch(name)
        if not 0 <= place <= 6 or not (code or is_definable(name, 20)):
            continue
        # "风格迁移的损失函数…" speaks of one; "损失函数不能…" does not introduce it.
        if not re.fullmatch(r"[《“\"「`*]*|(?:一个|所谓的?|在.{1,3}中，?)", opening[:place]):
            continue
        after = opening[place + len(name) :]
        if _INTRODUCES.match(after) or (code and _DOES.match(after)):
            return name
    return ""
