"""Options of a Typer command that come from settings models."""

import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar

import typer
from annotated_types import Ge, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from common.language import either
from data.options import flag_of, options_of
from data.settings import BuildSettings
from data.sources import SourceSettings
from data.sources.registry import SOURCES

Command = TypeVar("Command", bound=Callable[..., Any])
BUILD_FIELDS = frozenset(name for name, _ in options_of(BuildSettings))


def with_options(*models: type[BaseModel]) -> Callable[[Command], Command]:
    """Gives a command whose last parameter is **options the options of these models.

    A field that several models have is one option; raises ValueError where they disagree on it.
    """
    fields: dict[str, FieldInfo] = {}
    for model in models:
        for name, field in options_of(model):
            known = fields.setdefault(name, field)
            if repr(known) != repr(field):
                raise ValueError(f"{model.__name__}.{name} differs from the option of that name")

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        added = [_parameter(name, field) for name, field in fields.items()]
        command.__signature__ = signature.replace(parameters=[*own, *added])  # Typer reads it
        return command

    return decorate


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    bounds = {type(rule): rule for rule in field.metadata}
    info = typer.Option(
        *([flag_of(name, field)] if field.json_schema_extra["option"] else []),
        help=field.description,
        min=bounds[Ge].ge if Ge in bounds else None,
        max=bounds[Le].le if Le in bounds else None,
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=field.default,
        annotation=Annotated[field.annotation, info],
    )


def unused_options(given: Iterable[str], source: str, settings: SourceSettings) -> list[str]:
    """Messages about the options, by field name, that the chosen source does not use.

    What is the build's own as well, such as the number of wordings, is always used.
    """
    takers = {taker: dict(options_of(entry.settings)) for taker, entry in SOURCES.items()}
    without = settings.unused()
    found = []
    for name in given:
        users = [taker for taker, fields in takers.items() if name in fields]
        if name in without:
            flag = flag_of(name, takers[source][name])
            found.append(
                either(
                    f"{flag} 在这里不起作用（{without[name]}）",
                    f"{flag} changes nothing {without[name]}",
                )
            )
        elif users and source not in users and name not in BUILD_FIELDS:
            flag = flag_of(name, takers[users[0]][name])
            found.append(
                either(
                    f"{flag} 对 --source {source} 不起作用，只用于 {'、'.join(users)}",
                    f"{flag} changes nothing with --source {source}, only with "
                    f"{' or '.join(users)}",
                )
            )
    return found
