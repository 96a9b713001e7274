"""Settings models whose fields are options of the command line too.

A field made with `option` says its name, default, range and help once; `python -m data build`
takes its options from the models (`data/cli/build.py`), and fills the models from what was given.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo

from common.language import either

Model = TypeVar("Model", bound=BaseModel)


def option(default: Any, zh: str, en: str, name: str = "", **bounds: Any) -> Any:
    """A field that is an option, with its help; `name` is the option's where it is not the field's.

    bounds: pydantic's `ge` and `le`.
    """
    return Field(default, description=either(zh, en), json_schema_extra={"option": name}, **bounds)


def options_of(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """(field name, field) of every option of a model and of the models within it."""
    for name, field in model.model_fields.items():
        if _is_model(field.annotation):
            yield from options_of(field.annotation)
        elif isinstance(field.json_schema_extra, dict) and "option" in field.json_schema_extra:
            yield name, field


def flag_of(name: str, field: FieldInfo | None) -> str:
    """How an option is written: "--max-chars"."""
    extra = field.json_schema_extra if field else None
    given = extra.get("option") if isinstance(extra, dict) else None
    return f"--{given or name.replace('_', '-')}"


def settings_from(model: type[Model], values: Mapping[str, Any], asked_by: str = "") -> Model:
    """The model filled with those of `values` (by field name) that it has fields for.

    asked_by: the option that brings these settings in, such as "--source vllm". Raises ValueError
    that names it and the options at fault.
    """
    chosen = {}
    for name, field in model.model_fields.items():
        if _is_model(field.annotation):
            chosen[name] = settings_from(field.annotation, values)
        elif name in values:
            chosen[name] = values[name]
    try:
        return model(**chosen)
    except ValidationError as error:
        told = "; ".join(_message(model, row) for row in error.errors())
        raise ValueError(
            either(f"{asked_by}：{told}", f"{asked_by}: {told}") if asked_by else told
        ) from error


def _message(model: type[BaseModel], row: Any) -> str:
    said = str(row.get("ctx", {}).get("error", row["msg"]))
    if not row["loc"]:  # a check of the whole model, which names the options itself
        return said
    name = str(row["loc"][0])
    return f"{flag_of(name, model.model_fields.get(name))}: {said}"


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
