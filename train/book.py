"""Whether a recipe's questions are asked with the book at hand, and after which worked examples."""

from pathlib import Path

from retrieval.examples import Example, examples_of, turns_of
from retrieval.examples_auto import USUAL_CONTEXT, context_for
from retrieval.passages import PASSAGES_NAME
from train.base import ModelError
from train.recipe import Recipe

# The service has the same defaults (a test compares).
RETRIEVAL = ("retrieval_dir", "retrieval_passages", "retrieval_tokens", "retrieval_examples")


def uses_book(recipe: Recipe) -> bool:
    """Whether the dev questions are asked with the book at hand, by the service's own rule."""
    folder = recipe.retrieval_dir
    if folder is None or recipe.retrieval_passages == 0:
        return False
    named = folder != Recipe.model_fields["retrieval_dir"].default  # then it has to be there
    return named or (folder / PASSAGES_NAME).is_file()


def service_settings(recipe: Recipe) -> dict[str, str]:
    """Variables for a service that asks with the book, or without it, as the training did."""
    if not uses_book(recipe):
        return {"RETRIEVAL_PASSAGES": "0"}
    shown = recipe.retrieval_examples
    told = {
        "RETRIEVAL_DIR": str(recipe.retrieval_dir),
        "RETRIEVAL_PASSAGES": str(recipe.retrieval_passages),
        "RETRIEVAL_TOKENS": str(recipe.retrieval_tokens),
        "RETRIEVAL_EXAMPLES": str(shown if isinstance(shown, Path) else int(shown)),
    }
    context = context_for(recipe.retrieval_tokens)
    return told | ({"MAX_MODEL_LEN": str(context)} if context > USUAL_CONTEXT else {})


def usual_settings() -> dict[str, str]:
    """The same of a service that is told nothing, as this folder is."""
    fields = Recipe.model_fields
    usual = Recipe.model_construct(**{name: fields[name].default for name in RETRIEVAL})
    return service_settings(usual)


def worked_examples(recipe: Recipe) -> list[Example]:
    """What the service would show before every question; none without an index.

    Raises ModelError for a file that cannot be used.
    """
    if not uses_book(recipe):
        return []
    try:
        return examples_of(recipe.retrieval_examples)
    except (ValueError, OSError) as error:
        raise ModelError(f"retrieval_examples={recipe.retrieval_examples}: {error}") from error


def example_turns(recipe: Recipe) -> tuple[tuple[str, str], ...]:
    """The same as (user, assistant) turns."""
    return turns_of(worked_examples(recipe))
