"""Packed rows must not see each other, and must see what they would see alone."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("torch.nn.attention.varlen")


def reference_kernel(query, key, value, borders, _, longest, __, *, scale, window_size, **options):
    """What the GPU kernel computes, row by row: (tokens, heads, size)."""
    assert window_size == (-1, 0) and longest == int(borders.diff().max())
    parts = []
    for start, end in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True):
        q, k, v = (t[start:end].transpose(0, 1) for t in (query, key, value))
        parts.append(
            torch.nn.functional.scaled_dot_product_attention(
                q, k, v, is_causal=True, scale=scale, enable_gqa=True
            ).transpose(0, 1)
        )
    return torch.cat(parts)


def tiny(attention):
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 8}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    config = Qwen3Config(vocab_size=97, **sizes, **heads, attn_implementation=attention)
    return Qwen3ForCausalLM(config).eval()


@pytest.fixture()
def varlen(monkeypatch):
    from torch.nn.attention import varlen as module

    from train import packed_attention

    calls = []

    def counted(*args, **kwargs):
        calls.append(1)
        return reference_kernel(*args, **kwargs)

    monkeypatch.setattr(module, "varlen_attn", counted)
    return packed_attention.register(), calls


def packed(rows):
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    return collate([{"input_ids": row, "labels": list(row)} for row in rows])


def test_packed_rows_get_the_logits_of_rows_alone(varlen):
    name, calls = varlen
    rows = [list(range(3, 12)), list(range(20, 25)), list(range(40, 57))]
    model, plain = tiny(name), tiny("sdpa")
    batch = packed(rows)
    batch.pop("labels")
    together = model(**batch, use_cache=False).logits[0]
    alone = torch.cat([plain(torch.tensor([row])).logits[0] for row in rows])
    assert calls, "the kernel was not used"
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_batches_without_borders_go_to_sdpa(varlen):
    name, calls = varlen
    model, plain = tiny(name), tiny("sdpa")
    ids = torch.randint(3, 97, (2, 11))
    mask = torch.ones_like(ids)
    mask[0, :4] = 0
    given = model(ids, attention_mask=mask).logits[:, 4:]
    torch.testing.assert_close(given, plain(ids, attention_mask=mask).logits[:, 4:])
    assert not calls
