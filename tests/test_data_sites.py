"""Pages as site builders write and show them: the article without its site, home pages, cells."""

import pytest

from data.books import read_book
from data.dialects import plain_markdown
from data.sections import read_sections

PROSE = "<p>先准备好编译环境，再运行下面的命令，安装需要几分钟。</p>"
AROUND = "<div class='menu'>切换主题</div><div><a href='/'>首页</a></div>{}<div>最后更新</div>"
PANELS = "<pre><code>npm add a</code></pre>", "<pre><code>pnpm add a</code></pre>"
TABS = {
    "docusaurus": (
        "<main><article><h1>安装</h1>{0}<div><ul role='tablist'><li role='tab'>npm</li>"
        "<li role='tab'>pnpm</li></ul><div><div role='tabpanel'>{1}</div>"
        "<div role='tabpanel' hidden>{2}</div></div></div></article></main>"
    ),
    "vitepress": (
        "<main><div class='vp-doc'><h1>安装</h1>{0}<div class='vp-code-group'><div class='tabs'>"
        "<input type='radio'><label>npm</label><input type='radio'><label>pnpm</label></div>"
        "<div class='blocks'><div class='language-sh'><span class='lang'>sh</span>{1}"
        "<div class='line-numbers-wrapper'><span>1</span></div></div>"
        "<div class='language-sh'><span class='lang'>sh</span>{2}</div></div></div></div></main>"
    ),
    "sphinx": (
        "<div role='main'><h1>安装</h1>{0}<div class='sd-tab-set'><input type='radio'>"
        "<label class='sd-tab-label'>npm</label><div class='sd-tab-content'>{1}</div>"
        "<label class='sd-tab-label'>pnpm</label><div class='sd-tab-content'>{2}</div></div></div>"
    ),
}


def read(tmp_path, body: str):
    (tmp_path / "b.html").write_text(f"<html><body>{body}</body></html>", "utf-8")
    return read_book(tmp_path / "b.html")


@pytest.mark.parametrize("builder", TABS)
def test_an_article_is_read_without_its_site_and_with_its_tabs_apart(tmp_path, builder):
    book = read(tmp_path, AROUND.format(TABS[builder].format(PROSE, *PANELS)))
    found = [(s.path, [b.text for b in s.blocks]) for s in read_sections(book.text) if s.blocks]
    assert found == [
        (("安装",), ["先准备好编译环境，再运行下面的命令，安装需要几分钟。"]),
        (("安装", "npm"), ["npm add a"]),
        (("安装", "pnpm"), ["pnpm add a"]),
    ]
    assert not book.losses


def test_sentences_outside_an_article_are_kept_or_named(tmp_path):
    aside = f"<div class='remark'>{'旁边的话也是一句话，'.ljust(45, '长')}。</div>"
    short = read(tmp_path, f"<article>{PROSE}</article>{aside}")
    assert "旁边的话" in short.text
    long = read(tmp_path, f"<article><h1>章</h1>{PROSE * 40}</article>{aside}")
    assert "旁边的话" not in long.text
    assert [(loss.kind, loss.place[:4]) for loss in long.losses] == [("text", "旁边的话")]


def test_a_title_above_the_article_stays_its_title(tmp_path):
    body = f"<header><h1>排序</h1></header><div class='post-content'>{PROSE}</div>"
    assert read(tmp_path, AROUND.format(body)).text.startswith("# 排序\n")


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("<pre><pre class='playground'><code>fn main() {}</code></pre></pre>", "```\nfn main() {}"),
        ("<img src='l.gif' data-lazy-src='a.png' alt='图 1 缓存'>", "![图 1 缓存](a.png)"),
        ("<dl><dt>fork()<a href='#f'>¶</a></dt><dd><p>创建。</p><p>返回。</p></dd></dl>",
         "**fork()**\n\n创建。\n\n返回。"),
        ("<p>解得：</p><div class='math'><span class='eqno'>(1)</span>\\[a = b\\]</div>",
         "\n$$a = b$$"),
        ("<p>见 <a href='https://a.cn'>NPM<span class='sr-only'>在新窗口打开</span></a>。</p>",
         "见 [NPM](https://a.cn)。"),
        ("<p>脚注<a class='footnote-reference' href='#f1'>1</a>在这里。</p>", "脚注在这里。"),
    ],
)  # fmt: skip
def test_what_builders_write_beside_the_words_is_no_word(tmp_path, body, shown):
    assert shown in read(tmp_path, f"<h1>章</h1>{body}").text


VITEPRESS = """---
layout: home
hero:
  name: 引擎
  tagline: 快而省内存
  actions:
    - theme: brand
      text: 开始
features:
  - title: 预加载
    details: 启动时就把权重读进显存
---
"""
VUEPRESS = "---\nhome: true\nheroText: 引擎\nfeatures:\n- title: 预加载\n  details: 读进显存\n---\n"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (VITEPRESS, "# 引擎\n\n快而省内存\n\n## 预加载\n\n启动时就把权重读进显存"),
        (VUEPRESS, "# 引擎\n\n## 预加载\n\n读进显存"),
        (  # no day of a calendar
            "---\nhome: true\ndate: 2024-02-30\nheroText: 引擎\n---\n",
            "# 引擎",
        ),
        ("---\nhome: true\nhero: [\n---\n\n话。", "```yaml\nhome: true\nhero: [\n```\n\n\n话。"),
        ("---\ntitle: 题\ndescription: 给搜索引擎的话\n---\n\n话。", "# 题\n\n\n话。"),
    ],
)
def test_what_a_page_shows_of_its_front_matter_is_read(written, shown):
    assert plain_markdown(written).strip() == shown


GITBOOK = "---\ndescription: {}\nicon: x\n---\n\n# 题\n\n{}\n"


@pytest.mark.parametrize(
    ("beside", "body", "read", "lost"),
    [
        ("SUMMARY.md", "一段话。", True, []),
        ("docs.txt", '{% hint style="info" %}\n话。\n{% endhint %}', True, []),
        ("mkdocs.yml", "一段话。", False, ["一句 说明"]),  # there it is for searchers
        ("mkdocs.yml", "这里有一句说明。", False, []),
    ],
)
@pytest.mark.parametrize("written", [">-\n  一句\n\n  说明", "一句\n  说明", "'一句 说明'"])
def test_a_page_s_description_is_text_in_gitbook_and_counted_elsewhere(
    tmp_path, beside, body, read, lost, written
):
    (tmp_path / beside).write_text("x\n", encoding="utf-8")
    (tmp_path / "page.md").write_text(GITBOOK.format(written, body), encoding="utf-8")
    book = read_book(tmp_path / "page.md")
    (section,) = read_sections(book.text)
    assert ("一句 说明" in [block.text for block in section.blocks]) == read
    assert [loss.place for loss in book.losses] == lost


def test_cells_of_quarto_are_code_and_keep_the_captions_of_what_they_draw(tmp_path):
    cell = '```{r}\n#| label: fig-a\n#| fig-cap: "两组的箱线图"\n# 画图\nplot(x)\n```\n'
    (tmp_path / "b.qmd").write_text(f"# 章\n\n{cell}\n话。\n", "utf-8")
    (section,) = read_sections(read_book(tmp_path / "b.qmd").text)
    assert [(b.kind, b.text, b.language) for b in section.blocks] == [
        ("code", "# 画图\nplot(x)", "r"),
        ("paragraph", "话。", ""),
    ]
    assert [(f.caption, f.image) for f in section.figures] == [("两组的箱线图", "fig-a")]


def test_a_sentence_set_as_a_heading_over_nothing_is_text():
    text = "# 大纲\n\n## 学习 ssh，免去每次输入密码。\n\n## 一个很长很长很长的标题\n\n"
    text += "## 要点：看这里\n\n话。\n"
    found = [(s.path, [b.text for b in s.blocks]) for s in read_sections(text) if s.blocks]
    assert found == [
        (("大纲",), ["学习 ssh，免去每次输入密码。"]),
        (("大纲", "要点：看这里"), ["话。"]),
    ]
