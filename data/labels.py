"""Chinese names of what a build counts: the steps of its funnel, reasons, kinds, figures.

report.json keeps the English ones; the terminal and report.html show the reader's.
"""

from common.language import either

CHINESE = {
    # steps of the funnel, and what is lost there
    "books": "教材",
    "sections with text": "有正文的小节",
    "chunks": "文本块",
    "pairs made": "做出的问答",
    "pairs merged in": "并入的问答",
    "after cleaning": "清洗之后",
    "after review": "评审之后",
    "reviewer: not stands_alone": "评审：不能独立成立",
    "reviewer: not answered": "评审：原文里没有依据",
    "reviewer: not right": "评审：答得不对",
    "reviewer: not useful": "评审：没有用处",
    "after near-duplicates": "去重之后",
    "after leaks": "去掉泄题之后",
    "like the target": "像目标的",
    "of a sort that it has fewer of": "目标里这一类较少",
    # what a book shows and its text lacks
    "page": "页",
    "formula": "公式",
    "figure": "图",
    "table": "表格",
    "text": "文字",
    "heading": "下面没有文字的标题",
    "summary": "页面简介",
    # what stands before the questions of --with-passages
    "the right passage": "正确的片段",
    "what was found, the right one not known": "找到的片段，不知哪个正确",
    "wrong passages only": "只有错误的片段",
    "no passage": "没有片段",
    "passages too long, left out": "片段太长，不放",
    # the figures of --like
    "latin_words_median": "英文词和数字，中位数",
    "tokens": "答案词元，平均",
    "restated": "答案开头复述问题的程度",
    "unreadable": "读不出来",
    "contents and references": "目录和参考文献",
    "the source gave no answer": "没有做出问答",
    "near a test pair": "与测试题太近",
    "kept as a wording": "作为另一种问法留着",
    "same_question": "同一个问题",
    "conflict": "同一个问题，答案不同",
    "held_by_fuller": "另一题的答案更全，以它开头",
    "same_answer": "答案重复太多",
    # the cleaning rules
    "schema": "问题或答案为空，或两者相同",
    "language": "问答的语言与教材不符",
    "length": "太短或太长",
    "elsewhere": "指向读者看不到的地方（上图、本章）",
    "truncated": "答案没有说完",
    "repeating": "答案里有重复",
    "informative": "答案没有超出问题",
    "grounded_terms": "术语或数字不在原文里",
    "grounded_content": "内容不在原文里",
    # kinds of questions
    "ability": "能力",
    "api": "接口",
    "asked": "书中的问题",
    "calculation": "计算",
    "cause": "原因",
    "code": "代码",
    "command": "命令",
    "comparison": "比较",
    "condition": "条件",
    "consequence": "后果",
    "definition": "定义",
    "enumeration": "列举",
    "explain": "解释",
    "expression": "表达式",
    "fact": "事实",
    "how": "方法",
    "limit": "限制",
    "merged": "并入的",
    "number": "数值",
    "other": "其他",
    "purpose": "作用",
    "why": "为什么",
    # figures of the report
    "distinct_questions": "不同的问题",
    "distinct_answers": "不同的答案",
    "question_chars": "问题，字符",
    "answer_chars": "答案，字符",
    "ascii_terms_in_answers": "答案里的英文词和数字",
    "question_tokens": "问题，词元",
    "answer_tokens": "答案，词元",
    "mean": "平均",
    "median": "中位",
    "p90": "90 %",
    "max": "最大",
    "per_100_chars": "每 100 字符",
    "without_any": "一个也没有的占",
    "question": "问题",
    "answer": "答案",
    "chars_mean": "字符，平均",
    "chars_median": "字符，中位",
    "chars_p90": "字符，90 % 不超过",
    "latin_words_mean": "计分的英文词和数字，平均",
    "without_latin": "没有计分词的答案",
    "code_share": "含代码的答案",
    "train": "训练",
    "dev": "验证",
    "calibration": "校准",
}

ENGLISH = {
    "chars_mean": "characters, mean",
    "chars_median": "characters, median",
    "chars_p90": "characters, 90 % at most",
    "latin_words_mean": "words that count, mean",
    "without_latin": "answers without one",
    "code_share": "answers with code",
}


def label(name: str) -> str:
    """A counted thing's name as people read it; a name without a Chinese one stays."""
    return either(CHINESE.get(name, name), ENGLISH.get(name, name.replace("_", " ")))
