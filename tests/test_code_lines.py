"""What a line of code looks like, by how sure that has to be."""

import pytest

from data.code_lines import FIXED, Look, code_of, has_code, is_code, listing, looks, possible
from data.pdf.lines import Line
from data.pdf.listings import mark_listings


@pytest.mark.parametrize(
    "answer",
    [
        "这样调用：\nadd_kernel<<<1, 1>>>(x, y);\n然后同步。",
        "如下：\nint i = bid * bdim * 2 + tid; // 全局 id",
        "```\n任何\n```",
        "#include <cuda.h>",
        "编译：\nnvcc ./vector_add.cu -o add",
        "def area(r):\n    return 3 * r",
    ],
)
def test_lines_of_code_are_seen(answer: str) -> None:
    assert has_code(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "CUDA 是并行计算平台；kernel 用 __global__ 声明。",
        "Thread Block Cluster",
        "线程用 cudaMalloc(…) 申请显存。",
        "PCIe Gen3 x16",
        "GPU-based",
    ],
)
def test_text_with_english_words_is_no_code(answer: str) -> None:
    assert not has_code(answer)


def test_a_line_may_look_like_code_to_one_and_not_to_another():
    assert [look for look in Look if looks("nvcc add.cu -o add", look)] == [Look.SIGNS, Look.LINE]
    assert [look for look in Look if looks("the grid (of blocks)", look)] == [Look.SIGNS]
    assert [look for look in Look if looks('puts("你好");  // 说话', look)] == list(Look)
    assert not any(looks("用 f(x) 调用;", look) or looks("See a_b.", look) for look in Look)


@pytest.mark.parametrize(
    "text",
    ["#define ALIGN(n) __attribute__((aligned(n)))", 'println! (\n    "矩形的面积是",\n    a\n);']
    + ["```c\nint a; // 很长很长的中文注释\n```", "torch.add(\n    a, b)\nf(x)"],
)
def test_a_text_of_code_alone_is_code(text):
    assert is_code(text)


@pytest.mark.parametrize("text", ["用 f(x) 调用：\nf(x);", "# if 语句\n# 见 a;", "Thread (block)"])
def test_a_text_with_words_around_its_code_is_none(text):
    assert not is_code(text)


def test_lines_of_code_of_an_answer_are_those_in_fences_and_those_that_look_so():
    answer = "先看：\n````md\n任何\n```\n话\n````\n再说。\n# 注释\nint a = 1;\n#endif\n"
    answer += "https://a.cn/b_c\n## 题"
    assert code_of(answer) == ["任何", "```", "话", "# 注释", "int a = 1;", "#endif"]


def test_a_listing_begins_with_its_comment_and_ends_with_its_last_sure_line():
    lines = ["words", "// 越界", "#if A", "x = a;  # 注释", "#else", "f(x)", "#endif", "words"]
    assert listing(lines) == range(1, 7)


@pytest.mark.parametrize(
    "lines",
    [
        ["x = a + b;", "y = sum(b);", "z = a - b;"],  # of formulas, one with a name
        ["int a = f(1);", "return a;"],  # two lines
        ["int a = f(1);", "one more", "and words", "and others", "return a;"],
        ["words", "int a = f(1);", "words"],  # one sure line
    ],
)
def test_signs_that_do_not_agree_are_no_listing(lines):
    assert not listing(lines)


@pytest.mark.parametrize("line", ["A. int a = 1;", "（1）int a;", "x₁ = a + b;", "说：int a;"])
def test_a_choice_or_a_formula_could_be_no_code(line):
    assert not possible(line) and possible("int a; /* 一 */ f(a);  // 二")


@pytest.mark.parametrize(
    "told", [{"scripts": 1}, {"math": 0.3}, {"note": True}, {"block": "| a |"}, {"column": 1}, {}]
)
def test_a_line_of_pdf_with_scripts_or_of_a_table_is_in_no_listing(told):
    code = ["if (f(1)) {", "g(1);", "}"]
    lines = [Line(each, 1, 72, 200, 100 + 14 * n, 10) for n, each in enumerate(code)]
    vars(lines[1]).update(told)
    mark_listings(lines)
    assert [line.mono for line in lines] == [not told] * 3


def test_names_of_fixed_faces():
    names = ("Consolas", "Monaco", "JetBrainsMono-NL", "CMTT10", "Courier New", "等宽更纱黑体")
    assert all(map(FIXED.search, names))
    assert not any(map(FIXED.search, ("MonotypeSorts", "SimSun", "Times New Roman")))
