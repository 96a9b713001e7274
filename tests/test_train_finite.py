"""Numbers that are not finite end a training in one line, and no model is left behind."""

import os

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a busy machine's threads must not spin
pytest.importorskip("trl")
pytest.importorskip("peft")

import torch  # noqa: E402
from transformers import Trainer  # noqa: E402

from tests.finetuning import recipe  # noqa: E402
from train.base import ModelError, load_model  # noqa: E402
from train.finetune import finetune  # noqa: E402
from train.finite import need_finite  # noqa: E402


def spoil(monkeypatch, at_step: int) -> None:
    """Let the gradients of one step be NaN, as a faulty kernel's backward gives them."""
    step = Trainer.training_step

    def spoilt(self, model, *args, **kwargs):
        loss = step(self, model, *args, **kwargs)
        if self.state.global_step + 1 == at_step:
            for each in model.parameters():
                if each.grad is not None:
                    each.grad.fill_(float("nan"))
        return loss

    monkeypatch.setattr(Trainer, "training_step", spoilt)


@pytest.mark.parametrize(("every", "told"), [(1, "grad_norm at step 2"), (3, "loss at step 3")])
def test_a_fine_tuning_that_breaks_ends_and_writes_no_adapter(
    base, data, tmp_path, monkeypatch, every, told
):
    """Logged every three steps, the second step's NaN is seen in the third's loss."""
    spoil(monkeypatch, 2)
    with pytest.raises(ModelError, match=f"{told} is nan: .*attn_implementation=eager") as error:
        finetune(recipe(base, data, tmp_path, logging_steps=every, eval_samples=0))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "adapter").exists()
    assert not list((tmp_path / "checkpoints").glob("checkpoint-*"))


def test_weights_spoilt_by_the_last_step_are_not_written(base, data, tmp_path, monkeypatch):
    """No log tells of them: their loss would be the next step's."""
    spoil(monkeypatch, 3)
    monkeypatch.setattr("train.trainer.stop_at_nan", lambda trainer: None)
    fields = {"num_train_epochs": 1, "eval_samples": 0}
    with pytest.raises(ModelError, match="the trained weight .*lora_.* is nan"):
        finetune(recipe(base, data, tmp_path, **fields))
    assert not (tmp_path / "adapter").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_one_wrong_number_in_a_tensor_is_found_by_name(value):
    good, bad = torch.ones(3, 5, dtype=torch.bfloat16), torch.ones(4, 2, dtype=torch.bfloat16)
    need_finite([("good", good), ("empty", torch.ones(0))])
    bad[2, 1] = value
    with pytest.raises(ModelError, match="weight bad"):
        need_finite([("good", good), ("bad", bad)])


def test_no_model_is_trained_with_cudnns_attention(base, data, tmp_path):
    torch.backends.cuda.enable_cudnn_sdp(True)
    load_model(base, recipe(base, data, tmp_path))
    assert not torch.backends.cuda.cudnn_sdp_enabled()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the faulty kernel is a GPU's")
def test_padded_attention_has_finite_gradients_on_this_gpu(base, data, tmp_path):
    """A mask, a length that leaves 64 when divided by 128, and scores of about -120 in each row."""
    load_model(base, recipe(base, data, tmp_path))
    shape = {"size": (1, 1, 704, 64), "device": "cuda", "dtype": torch.bfloat16}
    query, key, value = torch.zeros(**shape), torch.zeros(**shape), torch.ones(**shape)
    query[..., 0], key[..., 0] = 1, -120 * 8
    states = [each.requires_grad_() for each in (query, key, value)]
    mask = torch.ones(704, 704, dtype=torch.bool, device="cuda").tril()
    out = torch.nn.functional.scaled_dot_product_attention(*states, attn_mask=mask[None, None])
    out.backward(torch.randn_like(out))
    need_finite([(str(i), each.grad) for i, each in enumerate(states)])
