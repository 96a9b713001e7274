"""Pairs by rules, without a model: made for precision, not volume.

A rule looks at one place of a chunk and yields (kind, question, answer); one that is not sure
stays silent. Every rule stands in a module of this package with its patterns and its good and bad
examples; importing the module registers it, and `source.ORDER` says where it is asked.
"""

from data.sources.rules import (  # noqa: F401 - imported to register
    aspect,
    attribute,
    code,
    comparison,
    definition,
    enumeration,
    item,
    number,
    purpose,
    section,
    shown,
    sides,
    table,
    whole,
)
from data.sources.rules.registry import RULES
from data.sources.rules.source import Level, RulesSettings, RulesSource, chunk_pairs

__all__ = ["RULES", "Level", "RulesSettings", "RulesSource", "chunk_pairs"]
