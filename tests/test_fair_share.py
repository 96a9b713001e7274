"""The limit at which answers are preempted when time runs short."""

from hypothesis import given
from hypothesis import strategies as st

from serving.engine.fair_share import MIN_TOKENS, CallLoad, fair_token_limit


def test_with_time_for_all_nothing_is_preempted() -> None:
    assert fair_token_limit(CallLoad(10, 8, 1000, 100), [5] * 8) == float("inf")


def test_short_of_time_everyone_gets_the_same() -> None:
    # 8 slots for 500 steps, 92 waiting and 8 running: 40 tokens each.
    assert fair_token_limit(CallLoad(92, 8, 500, 900), [0] * 8) == 40


def test_it_grows_when_others_end_early() -> None:
    before = fair_token_limit(CallLoad(92, 8, 500, 900), [5] * 8)
    assert fair_token_limit(CallLoad(50, 8, 490, 900), [5] * 8) > before


@given(
    st.integers(1, 10**5),
    st.integers(1, 512),
    st.floats(-10, 1e6),
    st.integers(1, 2000),
    st.lists(st.integers(0, 2000), max_size=512),
)
def test_it_is_never_less_than_something(waiting, slots, steps, longest, running) -> None:
    assert fair_token_limit(CallLoad(waiting, slots, steps, longest), running) >= MIN_TOKENS
