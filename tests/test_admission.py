"""Admission control: calls and bytes in progress."""

import pytest

from serving.http.admission import Admission, OverloadedError


def test_admission_counts_calls_and_bytes_and_closes() -> None:
    admission = Admission(2, 10)
    with admission.admit(), admission.admit():
        with pytest.raises(OverloadedError, match="MAX_QUEUE") as caught, admission.admit():
            pass
        assert caught.value.retry_after >= 1
        with (
            admission.reserve(155),
            pytest.raises(OverloadedError, match="bytes"),
            admission.reserve(10),
        ):
            pass
    assert (admission.calls, admission.bytes, admission.refused) == (0, 0, 2)
    with admission.reserve(1000):  # whatever its size, what comes alone comes in
        pass
    admission.closed = True
    with pytest.raises(OverloadedError, match="stopping"), admission.admit():
        pass
