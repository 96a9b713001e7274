"""What RETRIEVAL_EXAMPLES=auto comes to for a model: worked examples or none, how many passages."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from common.manifest import Manifest
from common.model_shape import Shape

# What `auto` means, by the models that were measured (docs/retrieval.md): a 1.5B gained by the
# examples, most with three passages of 1,000 characters and room for them; a 0.5B lost.
AUTO: Literal["auto"] = "auto"
AUTO_PARAMETERS = 1_000_000_000
AUTO_SETTINGS = {"retrieval_passages": 3, "retrieval_tokens": 2000, "max_model_len": 2848}
# What the service takes where nobody says otherwise (a test compares with serving/settings.py).
USUAL_TOKENS, USUAL_CONTEXT = 1200, 2048
COUNTED = ("retrieval_passages", "retrieval_tokens")
AUTO_CONTEXT = AUTO_SETTINGS["max_model_len"] + 512  # with the kit's own two examples
TRAINING = ("lora", "full", "demo")  # stages of a manifest that change how to ask


@dataclass(frozen=True)
class Automatic:
    """What `auto` comes to for one model. settings: what else is then set where nobody has set it.
    why: for `GET /info`, log and reports."""

    examples: bool
    why: str
    settings: dict[str, int] = field(default_factory=dict)


def context_for(passage_tokens: int) -> int:
    """Context in tokens (MAX_MODEL_LEN) in which passages of so many tokens leave question and
    answer the room that they have with the usual ones."""
    return USUAL_CONTEXT + max(0, passage_tokens - USUAL_TOKENS)


def automatic(
    shape: Shape | None, context: int | None = None, manifest: Manifest | None = None
) -> Automatic:
    """Whether a model with an index gets the kit's own examples, and how many passages with them.

    shape: None where it is not known. context: of its config.json, in tokens; None: not known, and
    taken to be long. manifest: the model's own; a trained model is asked as it was trained.
    """
    trained = [each for each in _stages(manifest) if each.stage in TRAINING] if manifest else []
    if trained:
        return _as_trained(trained)
    if shape is None:
        return Automatic(False, "auto: off, a model whose size is not known")
    size = f"{shape.parameters / 1e9:.2f}B parameters"
    if shape.parameters < AUTO_PARAMETERS:
        return Automatic(False, f"auto: off, {size}: a 0.5B lost score by them")
    if context is not None and context < AUTO_CONTEXT:
        return Automatic(False, f"auto: off, {size}, but a context of {context} tokens only")
    return Automatic(True, f"auto: on, {size}, not trained by this kit", AUTO_SETTINGS)


def as_settings(manifest: Manifest | None) -> dict[str, str]:
    """What a settings file for this model says of how it is asked: one that says nothing of the
    examples means none.

    Of a trained model what it was trained with, by name; of another one `auto`.
    """
    stages = [each for each in _stages(manifest) if each.stage in TRAINING] if manifest else []
    if not stages:
        return {"RETRIEVAL_EXAMPLES": AUTO}
    told = _recipe(stages)
    shown = told.get("retrieval_examples", False)
    asked = {"RETRIEVAL_EXAMPLES": str(int(shown) if isinstance(shown, bool) else shown)}
    return asked | {name.upper(): str(value) for name, value in _book(told).items()}


def _recipe(stages: Sequence[Manifest]) -> dict[str, Any]:
    """Settings of the newest training that says how questions were asked; {}: none does."""
    names = {"retrieval_examples", *COUNTED}
    return next((s.settings for s in stages if names & s.settings.keys()), {})


def _book(told: dict[str, Any]) -> dict[str, int]:
    """Passages, their tokens and the context for them, as a recipe that used a book had them."""
    if told.get("retrieval_dir", "index") is None or told.get("retrieval_passages") == 0:
        return {}
    kept = {name: int(told[name]) for name in COUNTED if name in told}
    context = context_for(kept.get("retrieval_tokens", USUAL_TOKENS))
    return kept | ({"max_model_len": context} if context > USUAL_CONTEXT else {})


def _as_trained(stages: Sequence[Manifest]) -> Automatic:
    told = _recipe(stages)
    shown, kept = told.get("retrieval_examples", False), _book(told)
    if not shown:
        return Automatic(False, "auto: off, trained without them", kept)
    if shown is not True:
        why = f"auto: off, though trained with {shown}: set RETRIEVAL_EXAMPLES to that file"
        return Automatic(False, why, kept)
    return Automatic(True, "auto: on, trained with them", kept)


def _stages(manifest: Manifest) -> Iterator[Manifest]:
    """A model's stages, the newest first."""
    yield manifest
    for parent in manifest.parents:
        yield from _stages(parent)
