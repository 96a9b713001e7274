"""A few hundred random inputs; `python -m tests.fuzz --inputs 100000` runs many."""

from tests.fuzz import run


def test_random_inputs_are_answered_or_refused() -> None:
    lines: list[str] = []
    assert run(600, 7, lines.append) == 0, "\n".join(lines)
