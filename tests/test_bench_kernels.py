"""The device's time by kernel: overlaps count once, every phase has its window."""

import contextlib

import pytest

from bench import kernels
from bench.kernels import KernelWindows, kind_of, summary
from bench.timers import phase_of


def test_overlapping_kernels_are_busy_once_and_counted_by_kind() -> None:
    events = [
        ("nvjet_sm90_tst_64x8", 0.0, 1000.0),
        ("void cutlass::device_kernel<flash::FlashAttnFwdSm90>", 500.0, 1500.0),
        ("triton_red_fused_3", 3000.0, 3500.0),
    ]
    found = summary(events, steps=2)
    assert found["busy_ms"] == 1.0
    assert found["kinds_ms"] == {
        "matrix products": 0.5,
        "attention": 0.5,
        "norms, activations, rope, quantizing": 0.25,
    }
    assert found["kernels"] == 1.5
    assert found["longest"][0]["count"] == 0.5


def test_kernels_are_known_by_their_names() -> None:
    assert kind_of("void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16>") == "KV cache write"
    assert kind_of("void marlin::Marlin<...>") == "matrix products"
    fused = "triton_red_fused_abs_clamp_cutlass_scaled_mm_div_max"
    assert kind_of(fused) == "norms, activations, rope, quantizing"
    assert kind_of("nobody_knows") == "other"


def test_phases_by_what_runs() -> None:
    assert [phase_of(n, p, 100) for n, p in [(100, 7), (95, 0), (50, 0), (10, 0)]] == [
        "prefill",
        "decode, full",
        "decode, between",
        "decode, tail",
    ]


def test_each_phase_gets_one_window_and_a_cut_one_is_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.profiler, "profile", lambda **_: contextlib.nullcontext())
    monkeypatch.setattr(kernels, "device_events", lambda _: [("nvjet", 0.0, 10_000.0)])
    windows = KernelWindows()
    for phase, count in [("decode, full", 40), ("decode, tail", 8)]:
        for _ in range(count):
            windows.after(phase)
    windows.close()
    assert list(windows.found) == ["decode, full"]
    assert windows.found["decode, full"]["busy_ms"] == 1.0
