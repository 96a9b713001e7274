"""The search space: the values of each setting, by device, model and dev split."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from serving.settings import Settings

# The value that leaves a setting unset: the service's own default applies.
UNSET = ""
GPUS = ("cuda", "wsl", "metax")
# The settings that may be searched; those that the environment sets already are kept fixed.
NAMES = (
    "MAX_NUM_SEQS",
    "MAX_NUM_BATCHED_TOKENS",
    "ENGINE_ARGS",
    "GPU_MEMORY_UTILIZATION",
    "MAX_TOKENS",
    "ENABLE_PREFIX_CACHING",
    "QUANTIZATION",
    "ENGINE_IN_PROCESS",
    "RETRIEVAL_PASSAGES",
    "RETRIEVAL_EXAMPLES",
    "ENGINES_PER_GPU",
    "DRAFT_TOKENS",
    "ANSWER_DRAWS",
)
PASSAGES = ("0", "1", "2", "3", "5")
# Of 1,000 Chinese characters; three of at most so many fitted in 2,000 (docs/retrieval.md).
PASSAGE_TOKENS = 700
ROOM = ("RETRIEVAL_TOKENS", "MAX_MODEL_LEN")
Space = dict[str, list[str]]


@dataclass(frozen=True)
class Facts:
    """What the space depends on. engine: of GET /info of a service with default settings;
    answer_tokens: token counts of the dev split's references; quantized: whether the weights are;
    passages: of the book that this service puts before a question, 0 where it has no index;
    examples: whether worked ones come first;
    cap: the one of the best score, reckoned from the default settings' answers.
    """

    engine: dict[str, Any]
    questions: int
    answer_tokens: Sequence[int]
    quantized: bool
    passages: int = 0
    examples: bool = False
    cap: int | None = None

    @property
    def kind(self) -> str:
        """The device: cpu, cuda, wsl, metax, other; "" when the engine is not vLLM."""
        return str((self.engine.get("device") or {}).get("kind", ""))


def space_of(facts: Facts, fixed: Sequence[str] = ()) -> Space:
    """The values of each setting, UNSET first, without `fixed` settings and without those that
    have only one value."""
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
        "MAX_TOKENS": _token_limits(facts.answer_tokens, facts.cap),
        "ENABLE_PREFIX_CACHING": ["false"] if facts.kind else [],
        # MetaX and CPUs have no FP8, and quantized weights cannot be quantized again.
        "QUANTIZATION": ["fp8"] if facts.kind in ("cuda", "wsl") and not facts.quantized else [],
        "ENGINE_IN_PROCESS": [str(not facts.engine.get("in_process", True)).lower()]
        if facts.kind
        else [],
        # Each makes every prompt longer, and answers better as far as the model reads it.
        "RETRIEVAL_PASSAGES": [n for n in PASSAGES if facts.passages and n != str(facts.passages)],
        # Worked examples help one model and harm another (docs/retrieval.md): so measured.
        "RETRIEVAL_EXAMPLES": [str(int(not facts.examples))] if facts.passages else [],
        # Against each other: what `auto` takes depends on the device.
        "ENGINES_PER_GPU": ["1", "2", "3"] if facts.kind in GPUS else [],
        # From the passages; without them they gained nothing (bench/LOG.md).
        "DRAFT_TOKENS": ["4"] if facts.kind in GPUS and facts.passages else [],
        # So many times the tokens for a higher score: the last to be tried.
        "ANSWER_DRAWS": ["4", "8"] if facts.kind else [],
    }
    return {
        name: [UNSET, *values] for name, values in choices.items() if values and name not in fixed
    }


def one_at_a_time(space: Space) -> list[dict[str, str]]:
    """Each value with all other settings unset: first the first value of every setting, then the
    second of each, and so on."""
    unset = dict.fromkeys(space, UNSET)
    longest = max((len(values) for values in space.values()), default=0)
    return [
        {**unset, name: values[place]}
        for place in range(1, longest)
        for name, values in space.items()
        if place < len(values)
    ]


def settings_of(values: dict[str, str]) -> dict[str, str]:
    """The values without those that are UNSET. More passages than usual come with room for them,
    where the environment does not say how much: else they would be left out again."""
    chosen = {name: value for name, value in values.items() if value != UNSET}
    usual = Settings.model_fields["retrieval_passages"].default
    more = max(0, int(chosen.get("RETRIEVAL_PASSAGES", usual)) - usual) * PASSAGE_TOKENS
    room = {name: Settings.model_fields[name.lower()].default + more for name in ROOM if more}
    return chosen | {name: str(n) for name, n in room.items() if name not in os.environ}


def _slots(facts: Facts) -> list[str]:
    # Sizes of at least the number of dev questions all behave the same here (everything runs at
    # once), so the dev split cannot rank them for the judge's larger sets.
    sizes = (16, 64, 128) if facts.kind == "cpu" else (64, 128, 256)
    return [str(size) for size in sizes if size < facts.questions] if facts.kind else []


def _engine_args(kind: str, slots: int, questions: int) -> list[str]:
    tried = [{"compilation_config": {"cudagraph_capture_sizes": _graphs(kind, slots, questions)}}]
    if kind == "metax":
        # On by default in newer versions of vLLM; MetaX's 0.10.0 has it as an experiment, in one
        # more process. Tried first, as the largest gain there is to expect (bench/README.md).
        tried.insert(0, {"async_scheduling": True})
    return [json.dumps(arguments) for arguments in tried]


def _graphs(kind: str, slots: int, questions: int) -> list[int]:
    """CUDA graph sizes closer than vLLM's own, since each step is padded to the next size. Sizes
    above max_num_seqs are for steps that prefill and decode together; MetaX's plugin drops those
    (serving/engine/devices.py)."""
    whole = min(slots, questions)
    sizes = {1, 2, 4, *range(8, 65, 8), *range(80, whole, 16), whole, slots}
    largest = slots if kind == "metax" else min(2 * slots, 512)
    return sorted(
        size for size in sizes | set(range(slots + 32, largest + 1, 32)) if size <= largest
    )


def _token_limits(tokens: Sequence[int], cap: int | None) -> list[str]:
    first = [str(cap)] if cap else []
    if not tokens:
        return first
    ordered = sorted(tokens)

    def at(share: float) -> int:
        return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]

    # The first leaves room above the longest reference, so that it cuts no good answer.
    wanted = [1.25 * ordered[-1], ordered[-1], at(0.99), at(0.95)]
    return list(dict.fromkeys([*first, *(str(16 * math.ceil(value / 16)) for value in wanted)]))
