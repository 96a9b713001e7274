"""The vllm source on the real engine: a tiny random model, held to the schema while decoding."""

import json
import os
import pickle
import sys
import types
from pathlib import Path

import pytest

from common.service_process import running
from data.cache import Cache
from data.chunks import cut_chunks
from data.making import make_pairs
from data.sections import read_sections
from data.sources.book_answers import spans_of
from data.sources.prompts import ModelSettings, schema
from data.sources.ray_source import RaySettings, RaySource
from data.sources.teacher import TeacherSettings, TeacherSource
from data.sources.to_compose import plans_of
from data.sources.vllm_source import VllmSettings, VllmSource, structured
from tests.test_data_teacher import book_text

# A random model writes noise: short strings keep it inside the token limit.
SHORT = {"per_chunk": 1, "wordings": 1, "longest": (8, 12), "reply_tokens": 400}
PAIRS = {"answers": "model", **SHORT}
ENGINE = json.dumps(
    {
        "enforce_eager": True,
        "max_model_len": 4096,
        "dtype": "float32",
        "seed": 0,
        "max_num_seqs": 4,
    }
)


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory) -> Path:
    """A Qwen3-architecture model with random weights and a byte-level tokenizer of its own."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("vllm")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    directory = tmp_path_factory.mktemp("tiny")
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    bpe.train_from_iterator([book_text()], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    tokenizer.save_pretrained(directory)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=4096,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True,
    )
    Qwen3ForCausalLM(config).float().save_pretrained(directory)
    return directory


@pytest.fixture
def chunks():
    return list(cut_chunks("book.md", read_sections(book_text(4))))


def made_by(source, chunks, cache) -> dict:
    return dict(make_pairs(chunks, source, cache))


@pytest.mark.vllm
@pytest.mark.slow
def test_every_reply_of_a_real_engine_fits_the_schema(tiny_model, chunks, tmp_path, monkeypatch):
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    source = VllmSource(VllmSettings(model=str(tiny_model), engine=ENGINE, **PAIRS))
    replies = source.replies(chunks)
    assert len(replies) == len(chunks) and {finish for _, finish in replies} == {"stop"}
    for text, _ in replies:
        for row in json.loads(text, strict=False)["pairs"]:
            assert set(row) == {"kind", "question", "answer", "wordings"}
            assert len(row["question"]) <= 8 and len(row["answer"]) <= 12


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.parametrize("answers", ["retold", "book"])
def test_a_real_engine_is_asked_about_what_the_book_says(tiny_model, chunks, monkeypatch, answers):
    """A random model asks nothing: every stretch of the book is counted as unused."""
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    settings = VllmSettings(model=str(tiny_model), engine=ENGINE, answers=answers, per_chunk=2)
    source = VllmSource(settings)
    spans = sum(len(spans_of(chunk, settings)) for chunk in chunks)
    assert told_of(source, chunks) == spans > 0


def told_of(source, chunks) -> int:
    """How many pairs a source made, and how many places it says came to none."""
    made = dict(source.pairs(chunks))
    assert set(made) == set(chunks)
    told = sum(int(note.split()[1]) for note in source.notes)
    return told + sum(map(len, made.values()))


@pytest.mark.vllm
@pytest.mark.slow
def test_a_real_engine_is_asked_about_the_whole_book_to_compose(tiny_model, chunks, monkeypatch):
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    settings = VllmSettings(model=str(tiny_model), engine=ENGINE, to_compose=True)
    plans, short = plans_of(chunks, settings)
    assert told_of(VllmSource(settings), chunks) == len(plans) + sum(short) > 0


@pytest.mark.vllm
@pytest.mark.slow
def test_the_teacher_asks_a_real_vllm_server(tiny_model, chunks, tmp_path, monkeypatch):
    """The OpenAI-compatible server that comes with vLLM, held to the schema."""
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    options = ["--model", str(tiny_model), "--port", "{port}", "--host", "127.0.0.1"]
    options += ["--dtype", "float32", "--enforce-eager", "--max-model-len", "4096"]
    compact_json = '{"backend": "xgrammar", "disable_any_whitespace": true}'
    options += ["--structured-outputs-config", compact_json, "--served-model-name", "tiny"]
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1"}
    with running([*command, *options], environment=environment) as server:
        server.wait_until_ready(240, "/health")
        monkeypatch.setenv("TEACHER_KEY", "any")
        settings = TeacherSettings(
            base_url=f"{server.url}/v1", model="tiny", key_env="TEACHER_KEY", **SHORT
        )
        teacher = TeacherSource(settings)
        replies: list[str] = []
        read = teacher._read
        monkeypatch.setattr(
            teacher,
            "_read",
            lambda r, c: replies.append(r.choices[0].message.content) or read(r, c),
        )
        made_by(teacher, chunks, Cache(tmp_path / "cache"))
        assert len(replies) >= len(chunks) and teacher.usage.tokens > 0
        for reply in replies:
            assert set(json.loads(reply, strict=False)) == {"pairs"}


@pytest.mark.vllm
@pytest.mark.slow
def test_ray_workers_make_the_same_replies(tiny_model, chunks, monkeypatch):
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")

    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    told = {"model": str(tiny_model), "engine": ENGINE, **PAIRS}
    alone = VllmSource(VllmSettings(**told))
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).parents[1])}},
    )
    try:
        spread = RaySource(RaySettings(ray="auto", workers=2, batch=2, **told))
        assert spread.replies(chunks) == alone.replies(chunks)
        assert spread.fingerprint == alone.fingerprint
    finally:
        ray.shutdown()


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("StructuredOutputsParams", "structured_outputs"),
        ("GuidedDecodingParams", "guided_decoding"),
    ],
)
def test_both_names_of_structured_outputs(monkeypatch, name, argument):
    class Params:
        def __init__(self, json):
            self.json = json

    module = types.ModuleType("vllm.sampling_params")
    setattr(module, name, Params)
    monkeypatch.setitem(sys.modules, "vllm", types.ModuleType("vllm"))
    monkeypatch.setitem(sys.modules, "vllm.sampling_params", module)
    found = structured(schema(ModelSettings(per_chunk=1, wordings=1)))
    assert list(found) == [argument] and found[argument].json["required"] == ["pairs"]


def test_unusable_replies_are_counted_and_the_others_kept(tmp_path, chunks, monkeypatch):
    (tmp_path / "config.json").write_text("{}")
    good = '{"pairs": [{"kind": "fact", "question": "主题0是什么？", "answer": "主题0是名称。"}]}'
    replies = [(good, "stop"), ('{"pairs"', "length"), ("{", "stop"), ('{"pairs": []}', "stop")]
    source = VllmSource(VllmSettings(model=str(tmp_path), answers="model"))
    monkeypatch.setattr(source, "replies", lambda chunks: replies)
    made = made_by(source, chunks, Cache(tmp_path / "cache"))
    assert [len(pairs) for pairs in made.values()] == [1, 0]
    assert source.notes == [
        "vllm: 1 chunks without pairs: broken JSON",
        "vllm: 1 chunks without pairs: cut off at the token limit",
    ]


def test_a_worker_on_ray_is_told_the_same_and_shares_the_cache(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    told = {"model": str(tmp_path), "engine": ENGINE, **PAIRS}
    spread = RaySource(RaySettings(ray="local", workers=3, **told))
    assert spread.fingerprint == VllmSource(VllmSettings(**told)).fingerprint
    assert spread.fingerprint != VllmSource(VllmSettings(model=str(tmp_path))).fingerprint
    assert pickle.loads(pickle.dumps(spread.settings)) == spread.settings


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(ValueError, match="none: no model directory"):
        VllmSettings(model=str(tmp_path / "none"))


@pytest.mark.vllm
@pytest.mark.slow
def test_a_local_model_rates_every_pair(tiny_model, monkeypatch):
    """A random model's ratings mean nothing, but each can be read: the schema holds it."""
    from data.records import Pair
    from data.review import ASPECTS, Rated
    from data.reviewers import make_reviewer

    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    reviewer = make_reviewer("vllm", {"model": str(tiny_model), "engine": ENGINE})
    rows = [Rated(Pair(f"主题{n}是什么？", "主题是名称。"), "主题是名称。") for n in range(3)]
    assert set(reviewer.failed(rows)) <= {*ASPECTS, "", None}


@pytest.mark.vllm
def test_fluency_is_the_mean_log_probability_of_a_token(tiny_model, monkeypatch):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from data.fluency import means_of

    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    texts = ["线程束是 32 个一起执行的线程。", "束线 是 是 个程 32 一。"]
    found = means_of(VllmSettings(model=str(tiny_model), engine=ENGINE))(texts)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    model = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
    for text, mean in zip(texts, found, strict=True):
        before, ids = (tokenizer(each)["input_ids"] for each in ("\n", text))
        with torch.no_grad():
            logits = model(torch.tensor([before + ids])).logits[0].float()
        said = torch.log_softmax(logits, -1)[len(before) - 1 : -1]
        expected = said.gather(1, torch.tensor(ids)[:, None]).mean().item()
        assert mean == pytest.approx(expected, abs=0.05)
