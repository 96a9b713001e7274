"""What is tried: for each setting its values, by device, model and dev split."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# No value: the setting stays unset, and the service's own default holds.
UNSET = ""
GPUS = ("cuda", "wsl", "metax")
# Every name that may be searched. What the person's environment sets already stays as it is.
NAMES = (
    "MAX_NUM_SEQS",
    "MAX_NUM_BATCHED_TOKENS",
    "ENGINE_ARGS",
    "GPU_MEMORY_UTILIZATION",
    "MAX_TOKENS",
    "ENABLE_PREFIX_CACHING",
    "QUANTIZATION",
    "ENGINE_IN_PROCESS",
)
Space = dict[str, list[str]]


@dataclass(frozen=True)
class Facts:
    """What decides the space. `engine`: the `engine` part of the service's GET /info with its
    defaults; `answer_tokens`: of the dev split's references; `quantized`: the weights are."""

    engine: dict[str, Any]
    questions: int
    answer_tokens: Sequence[int]
    quantized: bool

    @property
    def kind(self) -> str:
        """The device: cpu, cuda, wsl, metax, other; "" when the engine is not vLLM."""
        return str((self.engine.get("device") or {}).get("kind", ""))


def space_of(facts: Facts, fixed: Sequence[str] = ()) -> Space:
    """Values of each setting, UNSET first; `fixed` ones and those without a choice left out."""
    arguments = facts.engine.get("arguments") or {}
    graphs = facts.kind in GPUS and not arguments.get("enforce_eager")
    slots = int(arguments.get("max_num_seqs", 256))
    choices = {
        "MAX_NUM_SEQS": _slots(facts),
        "MAX_NUM_BATCHED_TOKENS": {"cpu": ["512", "2048", "4096"], "": []}.get(
            facts.kind, ["8192", "16384", "32768"]
        ),
        "ENGINE_ARGS": _engine_args(facts.kind, slots, facts.questions) if graphs else [],
        "GPU_MEMORY_UTILIZATION": ["0.8", "0.95"] if facts.kind in GPUS else [],
        "MAX_TOKENS": _caps(facts.answer_tokens),
        "ENABLE_PREFIX_CACHING": ["false"] if facts.kind else [],
        # MetaX has no FP8, nor has a processor; weights that are quantized stay as they are.
        "QUANTIZATION": ["fp8"] if facts.kind in ("cuda", "wsl") and not facts.quantized else [],
        "ENGINE_IN_PROCESS": [str(not facts.engine.get("in_process", True)).lower()]
        if facts.kind
        else [],
    }
    return {
        name: [UNSET, *values] for name, values in choices.items() if values and name not in fixed
    }


def singles(space: Space) -> list[dict[str, str]]:
    """Each value alone, all else unset: first the first value of every setting, and so on."""
    unset = dict.fromkeys(space, UNSET)
    longest = max((len(values) for values in space.values()), default=0)
    return [
        {**unset, name: values[place]}
        for place in range(1, longest)
        for name, values in space.items()
        if place < len(values)
    ]


def settings_of(values: dict[str, str]) -> dict[str, str]:
    """The settings among values: those that are not unset."""
    return {name: value for name, value in values.items() if value != UNSET}


def _slots(facts: Facts) -> list[str]:
    # From the number of dev questions on, all run at once and no size can be told from another;
    # a best size found there would be the dev split's and not the judge's.
    sizes = (16, 64, 128) if facts.kind == "cpu" else (64, 128, 256)
    return [str(size) for size in sizes if size < facts.questions] if facts.kind else []


def _engine_args(kind: str, slots: int, questions: int) -> list[str]:
    tried = [{"compilation_config": {"cudagraph_capture_sizes": _graphs(kind, slots, questions)}}]
    if kind == "metax":
        # Newer versions schedule the next step while one runs by default; 0.10.0 calls it
        # experimental, and starts a process more for it. First, since a short search may get no
        # further, and without it an H100 takes 1.37 times as long (0.25.1, measured).
        tried.insert(0, {"async_scheduling": True})
    return [json.dumps(arguments) for arguments in tried]


def _graphs(kind: str, slots: int, questions: int) -> list[int]:
    """Graph sizes for every batch that occurs: vLLM's own are up to 16 apart, and each step is
    padded to the next. Above the slots for steps that compute a prompt beside them; MetaX drops
    those (serving/engine/devices.py)."""
    whole = min(slots, questions)
    sizes = {1, 2, 4, *range(8, 65, 8), *range(80, whole, 16), whole, slots}
    largest = slots if kind == "metax" else min(2 * slots, 512)
    return sorted(
        size for size in sizes | set(range(slots + 32, largest + 1, 32)) if size <= largest
    )


def _caps(tokens: Sequence[int]) -> list[str]:
    if not tokens:
        return []
    ordered = sorted(tokens)

    def at(share: float) -> int:
        return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]

    # The last, with room above the longest reference, costs no answer that ends where it should.
    wanted = [1.25 * ordered[-1], ordered[-1], at(0.99), at(0.95)]
    return list(dict.fromkeys(str(16 * math.ceil(value / 16)) for value in wanted))
