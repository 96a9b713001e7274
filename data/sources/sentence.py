"""Sentences as answers: what can stand alone, and what has to be trimmed first."""

import re
from collections.abc import Sequence

from data.text import CJK, sentences, tidy

# Words that refer to something which the reader of an answer does not see.
_ELSEWHERE = re.compile(
    r"[上下如右左此]图(?![像形灵片数论书标案层神元])|图\s*\d|图[中里示]|[上前]文|(?<!上)下文|上面|下面|前面|后面|上述|前述"
    r"|(?:^|[，。；：])以上|以上(?:代码|[两三四]|例子|示例|内容|步骤|方法|介绍|各|几|所述|这些|就是)"
    r"|上一[节章小个步]|下一[节章小]"
    r"|文中|书中|[本这上下]一?[章节小篇]|本文|本书|本例|本系列|这里|此处(?!暂停|等待|同步|阻塞)|在此(?!处|过程|基础|期间|之)|刚才|刚刚|(?:^|[，。；：在])之前的|之前的(?:例子|代码|章|节|内容|讨论|介绍|文章|程序|实现|版本)"
    r"|第\s*[\d.]+\s*[章节]|如下所?示?|以下(?:就?[应是]|给|列|几|内容|情况|语句|函数|方法|步骤|的?例)|下列|[上下如见]表(?!示|达|现|明)"
    r"|参[考见阅照]|详见|链接(?!器|库|阶段|到|时|脚本)|我们来|大家|同学|读者|作者|笔者|(?<![最较更大])小编(?!码|号|译|程|组|写|辑)|回顾|复习|接下来|待补充"
    r"|后文|官方文档|如?式\s*[（(]\d|[Ss]ection \d"
    r"|[以如]下(?:的)?命令|以下(?:特点|特性|要求|条件|方面|原则|问题|缺点|优点)"
    r"|TODO|更多(?:信息|内容|细节|用法)|我(?!们)|究其原因|前[两几]种|此代码|该代码|这段|这份"
    r"|[该此](?:示例|例子|例)(?!程)|这个(?:图|表|例子|新的|函数|内核|版本|kernel)"
    r"|the (?:figure|chapter|text|above"
    r"|following)|\bfigure \d|https?://",
    re.I,
)
# Words that refer to an earlier sentence when they open an answer.
_POINTS_BACK = re.compile(
    r"^(?:这|那|它|他|她|其(?!他|它|中一)|该|此|后者|前者|两者|二者|以此|对此|为此|由此|从而"
    r"|进而|于是|然后|接着|最后|首先|其次"
    r"|同样|同理|另外|此外|而且|而(?!是)|但|不过|然而|也|还|并(?!行|发)|并且|则|就|即|或者?"
    r"|所以|因此|因而|故|比如|例如|如(?!果|何)"
    r"|虽然|尽管|之所以|反之|否则|除此|除了|再|又|我|你|可以看|可见|从图|从.{0,12}(?:可以"
    r"|能)看|看到|注意|上|下)"
)
_LEAD = re.compile(
    r"^(?:(?:因此|所以|此外|另外|同时|总之|其实|事实上|实际上|简单来说|简单的?说|概括的?讲"
    r"|概要地理解的话|一般来说|一般而言"
    r"|通常来说|换句话说|换言之|也就是说|更准确地说|具体来说|具体而言|需要注意的?是?"
    r"|值得注意的是|请注意|要注意|注意|众所周知"
    r"|可以看[到出]|我们知道|显然|首先|其次|再次|最后|然而|不过|但是|但|而且|并且"
    r"|从设计目的而言|前面提到|在?上文提到"
    r"|总的来说|综上所述|综上|简而言之|可见|由此可见|从而|那么|那|同样地?|类似地|接着|然后|于是"
    r"|通常情况下|一般情况下|通常|当然|目前|举个例子|一般|简言之|另一方面"
    r"|一方面)\s*[，,：:]\s*|注[：:]\s*|而(?=[A-Z]))"
)
_ASIDE = re.compile(
    r"\s*[（(][^（）()]*(?:上面|下面|前面|后面|[上下前]文|参[考见阅照]|详见|如图|见图|见第"
    r"|[上下]图|keep in mind|链接|红色|绿色|橙色)"
    r"[^（）()]*[)）]",
    re.I,
)


def polish(text: str) -> str:
    """Without an opening like "因此，" and asides like "（见图）", closed with a full stop.

    >>> polish("需要注意的是，warp 是调度单位（见下图）")
    'warp 是调度单位。'
    """
    text = with_keys(text)
    if text.count("*") == 1:
        text = text.removeprefix("*").removesuffix("*").strip()
    text = re.sub(r"\*\*(\S[^*\n]*?)\*\*", r"\1", tidy(_ASIDE.sub("", text)))
    for _ in range(3):
        shorter = _LEAD.sub("", text)
        if shorter == text:
            break
        text = shorter
    text = re.sub(r"[，,；;、:：．]+$", "", text.strip())
    if text and not re.search(r"[。！？.!?]$", text):
        text += "。"
    return text


# How some Markdown marks keys, the first of which is no variable (++i++).
_KEYS = re.compile(
    r"\+\+((?:ctrl|control|alt|option|shift|cmd|command|meta|win|enter|return|esc|escape|tab|space"
    r"|del|delete|backspace|up|down|left|right|home|end|f\d{1,2})(?:\+[\w\-\"]+)*)\+\+",
    re.I,
)


def with_keys(text: str) -> str:
    """Keys without the marks around them, spelt as in the book, which an answer has to quote.

    >>> with_keys("按 ++ctrl+c++ 退出")
    '按 ctrl+c 退出'
    """
    return _KEYS.sub(r"\1", text)


# Chinese with a space inside: where a line of a PDF ended, or where emphasis stood.
_GAP = re.compile(rf"(?<=[{CJK}，。；：、）]) (?=[{CJK}（])")


def without_gaps(text: str) -> str:
    """Without spaces between Chinese characters, which Chinese prose has none of.

    >>> without_gaps("并行计算是 提高 CPU 利用率的 手段")
    '并行计算是提高 CPU 利用率的手段'
    """
    return _GAP.sub("", text)


def points_elsewhere(text: str) -> bool:
    """Does the text refer to a figure, another chapter, or "this book"?"""
    return bool(_ELSEWHERE.search(text))


def is_standalone(text: str) -> bool:
    """No pointer to figures, other places or earlier sentences."""
    return not (_ELSEWHERE.search(text) or _POINTS_BACK.match(text.strip()))


def clean_sentences(text: str) -> list[str]:
    """Sentences of a paragraph as `polish` trims them, with their own end marks."""
    trimmed = (tidy(_ASIDE.sub("", sentence)) for sentence in sentences(text, semicolons=False))
    return [strip_lead(sentence) for sentence in trimmed if sentence]


def strip_lead(sentence: str) -> str:
    """Without "因此，", "需要注意的是，" and the like."""
    for _ in range(3):
        shorter = _LEAD.sub("", sentence)
        if shorter == sentence:
            break
        sentence = shorter
    return sentence


_CONTINUES = re.compile(r"^(?:它|其|该|这(?!里|个图)|此(?!处|图)|也就是说|例如|比如|即)")


def with_continuation(all_sentences: Sequence[str], index: int) -> str:
    """Sentence `index` and the following ones that continue it ("它…", "例如…"), 220 characters."""
    answer = all_sentences[index]
    for following in all_sentences[index + 1 :]:
        fits = len(answer) + len(following) <= 220
        if not (fits and _CONTINUES.match(following)) or _ELSEWHERE.search(following):
            break
        if following.endswith(("？", "?", "：", ":")):
            break
        spaced = answer[-1].isascii()
        answer += (" " if spaced else "") + following
    return answer
