"""What in a question or an answer shows that a program has damaged it on the way."""

import re
import unicodedata

from common.language import either
from common.pairs import Pair

# Tab, line feed and carriage return are text; NUL, bell and form feed are what is left of \0, \a
# and \f, and "\times" in JSON is a tab and "imes".
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_TORN_COMMAND = re.compile(
    r"\t(?:imes|ext|extbf|extit|heta|au|o)(?![a-z])|\r(?:ho|ight|angle)(?![a-z])"
)
_SPREADSHEET = re.compile(
    r"#(?:N/A|NAME\?|REF!|VALUE!|DIV/0!|NUM!|NULL!|SPILL!|CALC!|FIELD!|BLOCKED!|UNKNOWN!)|#{2,}"
    r"|nan|NaN|null|None|N/A|=(?:DISPIMG|_xlfn\.\w+|IMAGE)\(.*\)"
)
_RENDERED = re.compile(
    r"<\|im_start\|>(?:system|user|assistant)\s|<\|start_header_id\|>|\[INST\]"
    r"|^### (?:Instruction|Input|Response):",
    re.MULTILINE,
)
# End tokens of other models, which this kit's cleaning of answers does not know.
_FOREIGN_END = re.compile(r"(?:</s>|<eos>|<end_of_turn>|<｜end▁of▁sentence｜>)\s*\Z")
# A model's reasoning, which the service switches off; Qwen3's switches of it in a question.
_REASONED = re.compile(
    r"\A\s*<think(?:ing)?>\s*\S.*?</think(?:ing)?>|\A[^<]*\S\s*</think>", re.DOTALL
)
_SWITCH = re.compile(r"(?<!\S)/(?:no_)?think\s*\Z")
# A line break that was escaped twice; in code it stands in quotation marks.
_ESCAPED_BREAK = re.compile(r"[\u3000-\u9fff\uff00-\uffef]\\n(?![\"'”’])")
_PAGE = re.compile(r"&(?:nbsp|lt|gt|amp|quot|#\d+);|</(?:p|div|span|li|strong|td)>|<br\s*/?>")
_ABOUT_PAGES = re.compile(
    r"html|xml|web|css|vue|react|网页|标签|实体|转义|前端|浏览器", re.IGNORECASE
)
# What PDFs, web pages and input methods leave: radicals and ligatures for letters, letters of
# private fonts, marks inside words that nobody sees, full-width and mathematical Latin. The judge
# counts none of them as letters, and a model reads them as others.
_LOOKALIKE = re.compile(
    "[\u00ad\u200b\u2060\ufeff\u2e80-\u2fdf\ue000-\uf8ff\ufb00-\ufb06\ufffc"
    "\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d7ff]"
)
_MANGLED = re.compile(
    "[\u00c2-\u00f4][\u0080-\u00bf\u0152-\u0178\u02c6\u02dc\u2013-\u203a\u20ac\u2122]"
)


def doubts_about(pair: Pair, symbols: bool = True) -> list[str]:
    """What looks damaged in a pair, each with what to do; the texts stay as they are.

    symbols: also letters of private fonts, of which the reader of Word files tells by itself.
    """
    texts = [pair.question, pair.answer, pair.system, *pair.rephrasings]
    texts += [text for turn in pair.history for text in turn]
    whole = "\n".join(texts)
    found = []
    if control := _CONTROL.search(whole):
        shown = f"U+{ord(control[0]):04X}"
        found.append(
            either(
                f"有控制字符 {shown}；JSON 里的反斜杠要写两个（\\\\frac）",
                f"a control character {shown}; JSON wants two backslashes (\\\\frac)",
            )
        )
    elif _TORN_COMMAND.search(whole):
        found.append(
            either(
                "有被吃掉的反斜杠（\\times 变成了制表符和 imes）；JSON 里要写两个",
                "a lost backslash (\\times became a tab and imes); JSON wants two",
            )
        )
    if "\ufffd" in whole:
        found.append(
            either(
                "有 U+FFFD：有的字在转换编码时丢了",
                "U+FFFD: characters were lost in a change of encoding",
            )
        )
    if is_mangled(whole):
        found.append(
            either(
                "像是乱码：UTF-8 的文字曾被当作别的编码读过",
                "reads as UTF-8 that was once taken for another encoding",
            )
        )
    if any(_SPREADSHEET.fullmatch(text.strip()) for text in (pair.question, pair.answer)):
        found.append(
            either(
                "只是表格软件写的空值、错误值或图片（nan、#REF!、=DISPIMG）",
                "nothing but what a spreadsheet writes for no value or a picture (nan, #REF!, "
                "=DISPIMG)",
            )
        )
    if _RENDERED.search(pair.question):
        found.append(
            either(
                "问题里已有别的对话模板（<|im_start|>、[INST]、### Instruction）；请只留问题",
                "a chat template is in the question already (<|im_start|>, [INST], "
                "### Instruction); leave the question alone",
            )
        )
    if (end := _FOREIGN_END.search(pair.answer)) and "<s>" not in pair.answer + pair.question:
        mark = end[0].strip()
        found.append(
            either(
                f"回答以别的模型的结束词元 {mark} 结尾，会当作文字学进去；请去掉",
                f"the answer ends with another model's end token {mark}, which would be learned as "
                "text; take it off",
            )
        )
    if holds_reasoning(pair):
        found.append(
            either(
                "回答里有思考过程（<think>…</think>），服务不写它，这里会当作答案；请只留答案",
                "the answer holds reasoning (<think> … </think>), which the service does not "
                "write; keep the answer alone",
            )
        )
    if switch := _SWITCH.search(pair.question):
        mark = switch[0].strip()
        found.append(
            either(
                f"问题以 {mark} 结尾，会当作文字问；请去掉",
                f"the question ends with {mark}, which is asked as text; take it off",
            )
        )
    if _ESCAPED_BREAK.search(whole):
        found.append(
            either(
                "有写成 \\n 两个字符的换行：转义了两次，会当作文字",
                "line breaks spelled \\n: escaped twice, they count as text",
            )
        )
    if _PAGE.search(pair.answer + pair.question) and not _ABOUT_PAGES.search(whole):
        found.append(
            either(
                "有网页的标记（<br>、&nbsp;），会当作文字；请去掉",
                "marks of web pages (<br>, &nbsp;) count as text; take them off",
            )
        )
    odd = _LOOKALIKE.findall(pair.question + pair.answer)
    if odd := [each for each in odd if symbols or not "\ue000" <= each <= "\uf8ff"][:1]:
        code, plain = f"U+{ord(odd[0]):04X}", unicodedata.normalize("NFKC", odd[0])
        like = f" (“{plain}”)" if plain not in ("", odd[0]) else ""
        found.append(
            either(
                f"有字符 {code}{like}：从 PDF、网页复制来的，或是全角，评分和模型都当作别的字",
                f"{code}{like}: copied from a PDF or a web page, or full-width; score and model "
                "take it for another character",
            )
        )
    if "_x000D_" in whole:
        found.append(
            either(
                "有 Excel 写的 _x000D_，本是换行",
                "Excel's _x000D_, which was a line break",
            )
        )
    return found


def holds_reasoning(pair: Pair) -> bool:
    """Whether the answer begins with what a model thought, and is not about such marks."""
    return bool(_REASONED.search(pair.answer)) and "think" not in pair.question


def is_mangled(text: str) -> bool:
    """Whether Chinese in UTF-8 was decoded as Windows-1252 or Latin-1 and saved again."""
    suspects = _MANGLED.findall(text)
    if len(suspects) < 2:
        return False
    raw = bytearray()
    for character in text:
        if ord(character) < 0x100:
            raw.append(ord(character))
            continue
        try:
            raw += character.encode("cp1252")
        except UnicodeEncodeError:
            raw += b" "
    return bool(re.search("[\u3400-\u9fff]{2}", raw.decode("utf-8", "ignore")))
