"""The sources by the names that `--source` takes: what each can be told, and how it is made.

To add one: a settings model and a class after `PairSource`, and a line here. Its options come to
the command line by themselves.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from data.sources import PairSource, SourceSettings
from data.sources.nothing import NoSettings, NoSource
from data.sources.ray_source import RaySettings, RaySource
from data.sources.rules import RulesSettings, RulesSource
from data.sources.teacher import TeacherSettings, TeacherSource
from data.sources.vllm_source import VllmSource


class Entry(NamedTuple):
    """A source's settings model, and what makes the source from one."""

    settings: type[SourceSettings]
    make: Callable[[Any], PairSource]


def _vllm(settings: RaySettings) -> PairSource:
    return RaySource(settings) if settings.ray else VllmSource(settings)


SOURCES: dict[str, Entry] = {
    "rules": Entry(RulesSettings, RulesSource),
    "none": Entry(NoSettings, NoSource),
    "teacher": Entry(TeacherSettings, TeacherSource),
    "vllm": Entry(RaySettings, _vllm),
}
