"""Faces of fixed width by their names, for Word, slides and PDF: what is set in one is code."""

import re

FIXED = re.compile(
    r"mono(?!type)|courier|consol|menlo|monaco|typewriter|cmtt|lmtt|inconsolata|code|cousine|等宽",
    re.I,
)
