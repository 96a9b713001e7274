"""The rules source: what it makes, what it leaves alone, and the verdicts of its readers."""

import json
from collections import Counter
from pathlib import Path

import pytest

from data.books import read_book
from data.chunks import cut_chunks
from data.dedupe import drop_duplicates
from data.filters import Filters
from data.sections import read_sections
from data.sources.rules import RulesSource

REAL = Path(__file__).parents[2] / "shared" / "real" / "cuda_tutorial.md"
SAMPLE = Path(__file__).parents[1] / "data" / "sample" / "book.md"
SAMPLE_VERDICTS = Path(__file__).with_name("data_rules_sample_verdicts.jsonl")
VERDICTS = Path(__file__).with_name("data_rules_verdicts.jsonl")


def pairs_of(text: str) -> dict[str, str]:
    chunks = list(cut_chunks("b.md", read_sections(text)))
    return {p.question: p.answer for _, pairs in RulesSource().pairs(chunks) for p in pairs}


def kept_pairs(path: Path) -> list:
    chunks = list(cut_chunks(path.name, read_sections(read_book(path).text)))
    filters = Filters()
    kept = []
    for chunk, pairs in RulesSource().pairs(chunks):
        kept += filters.keep(pairs, chunk.text)
    return drop_duplicates(kept, Counter())


@pytest.mark.parametrize(
    ("sentence", "question"),
    [
        ("线程束（warp）是指一起执行的 32 个线程。", "什么是线程束？"),
        ("nvcc 是一种编译器驱动程序，能编译 CUDA C++。", "什么是 nvcc？"),
        ("在设备上执行的函数称为核函数（kernel）。", "什么是核函数？"),
        ("cudaFree() 用于释放设备内存。", "cudaFree的作用是什么？"),
        ("核函数的返回类型必须是 void。", "核函数的返回类型是什么？"),
        ("全局内存的访问很慢，因为它在芯片之外的显存里。", "为什么全局内存的访问很慢？"),
        (
            "由于共享内存在芯片上，所以共享内存的延迟比全局内存低得多。",
            "为什么共享内存的延迟比全局内存低得多？",
        ),
        ("为了避免存储体冲突，可以给数组的每一行加一列填充。", "为了避免存储体冲突，可以怎么做？"),
        ("进程和线程的区别在于线程共享同一个地址空间。", "进程和线程有什么区别？"),
        ("一个线程束包含 32 个线程。", "一个线程束包含多少个线程？"),
        ("如果多个线程写同一个地址，结果就是不确定的。", "如果多个线程写同一个地址，会怎样？"),
        ("浮点数由符号位、指数位和尾数位组成。", "浮点数由哪些部分组成？"),
        (
            "什么是共享内存？共享内存是线程块内所有线程都能访问的片上内存，延迟很低。",
            "什么是共享内存？",
        ),
        ("网格的大小由数据的规模决定。", "网格的大小由什么决定？"),
    ],
)
def test_each_kind_of_sentence_gives_its_question(sentence, question):
    made = pairs_of(f"# 第1章\n\n{sentence}")
    assert question in made, made
    assert made[question].rstrip("。") in sentence


@pytest.mark.parametrize(
    "sentence",
    [
        "它是指一起执行的线程。",
        "这是一种常见的做法，值得学习。",
        "如下图所示，线程束是指 32 个线程。",
        "上面的例子是一个核函数，它把两个数组相加。",
        "当然，我们也可以换一种写法来完成任务。",
        "本章的内容是一些基本概念的介绍。",
        "具体的做法是一个循环加一个判断语句。",
        "由于上述原因，我们需要换一种方法。",
        # Each of these came up when pairs from texts that the rules never saw were read.
        "灵活性是这种语言的强项，值得学习。",
        "静态链接是最基础的方法，值得学习。",
        "配置文件能够被命令行工具处理和检查。",
        "缩放系数可以在页面样式对话框中进行设置。",
        "列出用于替换拼错字词的建议字词。",
        "用户必须修改密码的天数间隔要写在这里。",
        "如果守护进程退出，日志不再写入，那么缓冲区会保留。",
        "如果两个版本混用，就可能出现这一情况。",
        "循环里的两次同步都不能少，否则结果不对。",
        "当前项目向测试分支提供安全更新，但不向开发分支提供。",
    ],
)
def test_a_sentence_that_leans_on_others_gives_none(sentence):
    assert pairs_of(f"# 第1章\n\n{sentence}") == {}


def test_a_list_is_asked_as_a_whole_and_its_terms_one_by_one():
    made = pairs_of(
        "# 内存\n\nGPU 的内存分为三种：\n\n"
        "- 寄存器：每个线程私有，速度最快\n- **共享内存**：用于线程块内的数据交换\n"
        "- `cudaMalloc`：用于分配设备内存\n"
    )
    whole = made["GPU 的内存可以分为哪几种？"]
    assert "（1）寄存器" in whole and "（3）cudaMalloc" in whole
    assert made["cudaMalloc的作用是什么？"] == "cudaMalloc 用于分配设备内存。"


def test_functions_are_asked_whole_with_their_indentation():
    code = (
        "__global__ void add(int *a, int n) {\n    int i = threadIdx.x; // 元素下标\n"
        "    if (i < n) {\n        a[i] += 1;\n    }\n}"
    )
    made = pairs_of(f"# 加法\n\n核函数如下：\n\n```c\n{code}\n\nint main() {{ return 0; }}\n```")
    assert made["请写出核函数 add 的实现代码。"] == code
    assert (
        made["表达式 i = threadIdx.x 计算的是什么？"] == "表达式 i = threadIdx.x 计算的是元素下标。"
    )
    assert not any("main" in question for question in made)


def test_tables_answer_by_row_and_column():
    made = pairs_of(
        "# 1.2 浮点格式\n\n| 类型 | 总位数 | 用途 |\n|---|---|---|\n| FP16 | 16 | 深度学习训练 |\n"
    )
    assert made["关于浮点格式，FP16的总位数是多少？"] == "FP16的总位数是16。"
    assert made["关于浮点格式，FP16的用途是什么？"] == "FP16的用途是深度学习训练。"


def test_the_same_book_gives_the_same_pairs_in_the_same_order():
    text = SAMPLE.read_text(encoding="utf-8")
    assert list(pairs_of(text).items()) == list(pairs_of(text).items())


def test_the_sample_book_is_asked_about_in_most_chapters():
    pairs = kept_pairs(SAMPLE)
    assert len(pairs) >= 50 and len({p.path[1] for p in pairs if len(p.path) > 1}) >= 8
    assert {"definition", "code", "cause", "fact", "api"} <= {p.kind for p in pairs}


def test_rows_of_a_table_keep_what_they_are_about():
    made = pairs_of(
        "# 9.4 `ps` 命令\n\n| 命令 | 特征 | 大小 | 操作 |\n|---|---|---|---|\n"
        "| BSD | 显示 `%CPU` | 917 | 同上 |\n| ps -ef | - | 20 KB | 列出**所有**进程 |\n"
        "| (gdb) bt | 查看调用栈 | 3 | 查看调用栈 |\n"
    )
    assert made == {
        "关于 ps 命令，BSD的特征是什么？": "BSD的特征：显示 %CPU。",
        "请简要说明 ps 命令中的 ps -ef。": "ps -ef：列出所有进程。",
    }


def test_notes_and_emphasis_are_no_part_of_a_sentence():
    made = pairs_of("# 调度\n\n*warp*（线程束）是指一起执行的 32 个线程[12]，由硬件调度。")
    assert made["什么是 warp？"] == "warp（线程束）是指一起执行的 32 个线程，由硬件调度。"
    assert (
        "float *a, float *b"
        in pairs_of("# 指针\n\n参数表是指 float *a, float *b 这样的列表。")["什么是参数表？"]
    )


def test_the_sample_books_verdicts_still_hold():
    """All pairs of the sample book were read: what was bad stays away, but for the one known."""
    rows = SAMPLE_VERDICTS.read_text(encoding="utf-8").splitlines()
    verdicts = {row["question"]: row["verdict"] for row in map(json.loads, rows)}
    made = {pair.question for pair in kept_pairs(SAMPLE)}
    bad = {question for question, verdict in verdicts.items() if verdict == "bad"}
    assert made & bad <= {"如果线程之间间隔一个元素，会怎样？"}
    good = verdicts.keys() - bad
    assert len(made & good) >= 0.9 * len(good) and len(made & good) >= 0.9 * len(made)


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_file(), reason="the real tutorial is not here")
def test_the_readers_verdicts_still_hold():
    """Pairs once judged bad stay away; at least 90 % of those judged good are still made."""
    verdicts = [json.loads(line) for line in VERDICTS.read_text(encoding="utf-8").splitlines()]
    good = {row["id"] for row in verdicts if row["verdict"] == "good"}
    bad = {row["id"] for row in verdicts if row["verdict"] == "bad"}
    made = {pair.id for pair in kept_pairs(REAL)}
    # The last reading's one bad pair is known and still there: the honest 1 %.
    known = {"44498567748bf1ba"}
    assert made & bad <= known
    assert len(made & good) / len(good) >= 0.9
    last = [row for row in verdicts if "seed 2" in row["reading"]]
    assert len(last) == 100 and sum(row["verdict"] == "good" for row in last) >= 90
