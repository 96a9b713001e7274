"""What the numbers of a report are called, and what each is."""

from typing import Any

from common.language import either
from judging import scoring

LABELS = {
    "accuracy (judge)": "准确率（评测机）",
    "characters/s (judge)": "字符/秒（评测机）",
    "± standard error": "± 标准误差",
    "ceiling of the set": "题集的上限",
    "accuracy / ceiling": "准确率 / 上限",
    "echoing the question": "复述问题",
    "counted words: precision": "计分的词：查准",
    "counted words: recall": "计分的词：查全",
    "Chinese-aware ROUGE-L": "计入中文的 ROUGE-L",
    "questions": "题数",
    "characters": "字符",
    "POST seconds": "POST 秒数",
    "slowest call, s": "最慢的一次调用，秒",
    "tokens/s": "词元/秒",
    "unanswered": "没有回答",
    "empty": "空回答",
    "look cut": "像是被截断",
    "over-long": "过长",
    "repeat the question": "只是重说问题",
}

NAMES = {  # of what DEFINITIONS explain, in Chinese
    "accuracy": "准确率",
    "speed": "速度",
    "stderr": "标准误差",
    "ceiling": "上限",
    "of_ceiling": "占上限",
    "echo": "复述问题",
    "precision": "查准",
    "recall": "查全",
    "chinese": "计入中文",
    "tokens_per_second": "词元/秒",
    "unanswered": "没有回答",
    "empty": "空回答",
    "looks_cut": "像是被截断",
    "over_long": "过长",
    "repeats": "只是重说问题",
}
IN_CHINESE = {
    "accuracy": "每题 ROUGE-L F1 的平均值，按评测机的算法（jieba 分词后用空格连接）；"
    "只计英文词和数字，汉字不计；提交失败时为 0",
    "speed": "所有回答的字符数 ÷ 所有 POST 调用的秒数，按评测机的算法；提交失败时为 0",
    "stderr": "准确率在这份题集各题上的标准误差",
    "ceiling": "每个回答都与参考答案相同时的准确率：参考答案里有计分词的题所占的比例",
    "of_ceiling": "准确率 ÷ 上限",
    "echo": "把问题原样当作回答时的准确率",
    "precision": "回答里计分的词有多少按顺序出现在参考答案里，各题平均",
    "recall": "参考答案里计分的词有多少按顺序出现在回答里，各题平均",
    "chinese": "以单个汉字和 [a-z0-9] 连写为单位的 ROUGE-L F1，各题平均",
    "tokens_per_second": "所有回答的词元数（按给定的分词器）÷ 同样的秒数",
    "unanswered": "没有得到可用回复的题",
    "empty": "没有可见字符的回答",
    "looks_cut": f"不少于 {scoring.CUT_MIN_CHARACTERS} 个字符、参考答案有结束标点而它没有、"
    "或代码块没有闭合的回答（猜测）",
    "over_long": f"超过参考答案 {scoring.OVER_LONG_RATIO:g} 倍再加 "
    f"{scoring.OVER_LONG_EXTRA} 个字符的回答",
    "repeats": "几乎只是把问题重说一遍的回答（猜测）：没有回答什么，评测机却给分",
}
DEFINITIONS = {
    "accuracy": "mean ROUGE-L F1 over jieba words joined by spaces, as the judge computes it; only "
    "Latin words and numbers count, Chinese characters do not; 0 when the submission fails",
    "speed": "characters of all answers by seconds of all POST calls, as the judge computes it; "
    "0 when the submission fails",
    "stderr": "standard error of the accuracy over the questions of this set",
    "ceiling": "accuracy if every answer were its reference: the share of references with a "
    "counted word",
    "of_ceiling": "accuracy by ceiling",
    "echo": "accuracy if every answer repeated its question",
    "precision": "mean share of an answer's counted words that the reference has, in order",
    "recall": "mean share of a reference's counted words that the answer has, in order",
    "chinese": "mean ROUGE-L F1 over single Chinese characters and runs of [a-z0-9]",
    "tokens_per_second": "tokens of all answers by the tokenizer given, by the same seconds",
    "unanswered": "questions without a usable reply",
    "empty": "answers without a visible character",
    "looks_cut": f"answers of {scoring.CUT_MIN_CHARACTERS} characters or more that end without a "
    "closing mark where the reference has one, or in an open code block (a guess)",
    "over_long": f"answers over {scoring.OVER_LONG_RATIO:g} times their reference's characters "
    f"and {scoring.OVER_LONG_EXTRA} more",
    "repeats": "answers that do little but say their question again (a guess): they answer "
    "nothing, and the judge pays for them",
}


def demo_note() -> str:
    """What stands beside every score of a demo model."""
    return either(
        "演示模型：分数只说明流程走通，不代表质量", "demo model: scores show the flow, not quality"
    )


def book_at_hand(info: dict[str, Any] | None) -> str:
    """What to say beside the score of a service that puts passages before the questions; "" of
    one that does not."""
    retrieval = (info or {}).get("retrieval")
    if not isinstance(retrieval, dict):
        return ""
    books, count = retrieval.get("books") or "?", retrieval.get("passages_a_question", "?")
    told = either(
        f"翻着书作答：{books}，每题至多 {count} 个片段",
        f"with the book at hand: {books}, at most {count} passages a question",
    )
    shown, why = len(retrieval.get("examples") or ()), retrieval.get("examples_why")
    if shown:
        told += either(f"，前有 {shown} 个示例", f", {shown} worked examples")
    return told + (either(f"（{why}）", f" ({why})") if shown and why else "")


def answer_draws(info: dict[str, Any] | None) -> str:
    """What to say beside the score of a service that gives one of several answers it has written;
    "" of one that writes one."""
    draws = (info or {}).get("draws")
    if not isinstance(draws, dict):
        return ""
    count, temperature = draws.get("answers", "?"), draws.get("temperature", "?")
    return either(
        f"每题写 {count} 个回答（温度 {temperature}），给出最一致的一个：每次分数略有不同",
        f"of {count} answers to each question (temperature {temperature}) the one that agrees most "
        "with the others: scores differ a little from run to run",
    )
