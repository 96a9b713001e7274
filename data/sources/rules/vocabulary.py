"""Words of computing that jieba's dictionary lacks or takes for verbs; all are nouns here."""

from pathlib import Path

WORDS = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").split()
