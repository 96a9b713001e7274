"""The judge's protocol, against a real HTTP server that misbehaves in every way we know."""

import contextlib
import json
import socket
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.ports import free_port
from judging import protocol
from judging.protocol import (
    NothingListensError,
    ServiceNotReadyError,
    ask,
    check_url,
    fetch_info,
    wait_for_service,
)
from tests.faulty_service import Service, dumped, replying, slowly

pytestmark = pytest.mark.clock  # some of these have tenths of a second

QUESTIONS = ["什么是warp？", "什么是线程块？", "什么是网格？"]


@pytest.fixture(scope="module")
def running():
    service = Service()
    yield service
    service.close()


@pytest.fixture
def service(running):
    running.routes.clear()
    running.bodies.clear()
    return running


# --- GET / --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "mode"),
    [
        (dumped({"status": "batch"}), "batch", "batch"),
        (dumped({"status": "serial"}), "serial", "serial"),
        (dumped({"status": "ok"}), "ok", "serial"),
        (dumped({"status": "Batch"}), "Batch", "serial"),
        (dumped({"status": None}), None, "serial"),
        (dumped({"status": ["batch"]}), ["batch"], "serial"),
    ],
)
def test_the_status_decides_the_mode(service, body, status, mode):
    service.routes["/"] = lambda prompt: body
    health = wait_for_service(service.url, 5)
    assert (health.status, health.mode, health.warnings) == (status, mode, [])


@pytest.mark.parametrize("body", [b"", b"batch", b'"batch"', b"{}", b"[]", b"\xff", b"[" * 100_000])
def test_a_reply_without_status_means_serial_and_is_warned_of(service, body):
    service.routes["/"] = lambda prompt: body
    health = wait_for_service(service.url, 5)
    assert health.mode == "serial"
    assert "says no status" in health.warnings[0]


def test_polls_until_http_200(service, monkeypatch):
    monkeypatch.setattr(protocol, "_POLL_EVERY_S", 0.05)
    polls = []

    def becoming_ready(prompt):
        polls.append(prompt)
        return dumped({"status": "batch"}) if len(polls) > 3 else (503, b"loading")

    service.routes["/"] = becoming_ready
    health = wait_for_service(service.url, 5)
    assert len(polls) == 4
    assert health.seconds >= 0.15


def test_waits_for_a_port_that_opens_later(monkeypatch):
    monkeypatch.setattr(protocol, "_POLL_EVERY_S", 0.05)
    port, opened = free_port(), []

    def open_later():
        time.sleep(0.4)
        opened.append(Service(port))
        opened[0].routes["/"] = lambda prompt: dumped({"status": "batch"})

    opening = threading.Thread(target=open_later)
    opening.start()
    health = wait_for_service(f"http://127.0.0.1:{port}", 10)
    opening.join()
    opened[0].close()
    assert health.mode == "batch"
    assert health.seconds >= 0.35


def test_a_port_that_never_opens():
    port = free_port()
    with pytest.raises(ServiceNotReadyError, match=r"within 0\.3 s \(last: ConnectError"):
        wait_for_service(f"http://127.0.0.1:{port}", 0.3)


def test_a_port_where_nothing_listens_is_told_at_once_unless_waiting_is_asked_for():
    start = time.perf_counter()
    with pytest.raises(NothingListensError, match=r"nothing listens at .* \(ConnectError"):
        wait_for_service(f"http://127.0.0.1:{free_port()}", 60, wait_for_port=False)
    assert time.perf_counter() - start < 5


def test_another_program_on_the_port_is_told_at_once(service):
    service.routes["/"] = lambda prompt: (404, b"<html>")
    with pytest.raises(NothingListensError, match=r"another program .* \(GET / gave HTTP 404"):
        wait_for_service(service.url, 60, wait_for_port=False)


def test_who_listens_and_is_not_ready_is_waited_for_in_any_case(service, monkeypatch):
    monkeypatch.setattr(protocol, "_POLL_EVERY_S", 0.05)
    replies = iter([(503, b"loading"), (503, b"loading"), dumped({"status": "batch"})])
    service.routes["/"] = lambda prompt: next(replies)
    assert wait_for_service(service.url, 10, wait_for_port=False).mode == "batch"


@pytest.mark.parametrize(
    ("route", "problem"),
    [
        (lambda prompt: (500, b"out of\nmemory"), "HTTP 500 out of memory"),
        (lambda prompt: None, "RemoteProtocolError"),
        (slowly(4, lambda prompt: b"{}"), "no reply within"),
        (lambda prompt: (301, b""), "HTTP 301"),
    ],
)
def test_never_ready_says_what_was_seen_last(service, route, problem):
    service.routes["/"] = route
    start = time.perf_counter()
    with pytest.raises(ServiceNotReadyError, match=problem):
        wait_for_service(service.url, 1.0)
    assert time.perf_counter() - start < 3


def test_info_is_optional(service):
    assert fetch_info(service.url) is None
    for body in (b"nonsense", b"[1]", b"null"):
        service.routes["/info"] = lambda prompt, body=body: body
        assert fetch_info(service.url) is None
    service.routes["/info"] = lambda prompt: dumped({"model": {"demo": True}})
    assert fetch_info(service.url) == {"model": {"demo": True}}


def test_addresses():
    assert check_url("http://127.0.0.1:8000/") == "http://127.0.0.1:8000"
    for wrong in ("127.0.0.1:8000", "ftp://host", "http://", "http://host:port", ""):
        with pytest.raises(ValueError, match="no URL"):
            check_url(wrong)
    with pytest.raises(ValueError, match="a port is from 1 to 65535"):
        check_url("http://localhost:99999")
    for wrong in ("http://host:8000/predict", "http://host:8000/predict/", "http://host/?a=1"):
        with pytest.raises(ValueError, match="address alone"):
            check_url(wrong)
    assert check_url("http://hub/user/me/proxy/8000/") == "http://hub/user/me/proxy/8000"


def test_a_service_that_speaks_no_https_is_told_so(service):
    address = service.url.replace("http:", "https:")
    with pytest.raises(NothingListensError, match="no HTTPS is spoken at"):
        wait_for_service(address, 20, wait_for_port=False)


def test_proxies_of_the_environment_are_ignored(service, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    service.routes["/"] = lambda prompt: dumped({"status": "batch"})
    assert wait_for_service(service.url, 5).mode == "batch"


# --- batch --------------------------------------------------------------------------------------


def test_a_batch_is_one_call_with_all_questions(service):
    service.routes["/predict"] = lambda prompt: dumped({"response": [q + "答" for q in prompt]})
    done = []
    replies = ask(service.url, QUESTIONS, "batch", 5, done.append)
    assert service.bodies == [("/predict", {"prompt": QUESTIONS})]
    assert replies.answers == [q + "答" for q in QUESTIONS]
    assert (replies.failure, replies.warnings, replies.unanswered) == (None, [], 0)
    assert replies.seconds == [None] * 3
    assert done == [3]


def test_the_clock_runs_around_the_call(service):
    service.routes["/predict"] = slowly(0.3, replying(["a", "b", "c"]))
    assert 0.3 <= ask(service.url, QUESTIONS, "batch", 5).total_seconds < 2


def test_a_late_batch_fails_the_submission(service):
    service.routes["/predict"] = slowly(4, replying(["a", "b", "c"]))
    replies = ask(service.url, QUESTIONS, "batch", 0.3)
    assert replies.failure == "the batch was not answered within 0.3 s"
    assert replies.answers == ["", "", ""]
    assert replies.unanswered == 3
    assert 0.3 <= replies.total_seconds < 3


def test_a_reply_that_trickles_in_is_late_too(service):
    # Every byte comes in time, the whole does not: a time limit a read would never end this.
    whole = dumped({"response": ["a", "b", "c"]})
    pieces = [whole[start : start + 2] for start in range(0, len(whole), 2)]
    service.routes["/predict"] = lambda prompt: (200, pieces)
    replies = ask(service.url, QUESTIONS, "batch", 0.5)
    assert replies.failure
    assert replies.total_seconds < 1.4  # the whole takes 1.5 s or more


def test_a_short_batch_is_padded(service):
    service.routes["/predict"] = replying(["a"])
    replies = ask(service.url, QUESTIONS, "batch", 5)
    assert (replies.answers, replies.failure, replies.unanswered) == (["a", "", ""], None, 2)
    assert replies.warnings == ["2 answers are missing at the end, counted as empty"]


def test_answers_beyond_the_questions_are_ignored(service):
    service.routes["/predict"] = replying(["a", "b", "c", "d", None])
    replies = ask(service.url, QUESTIONS, "batch", 5)
    assert (replies.answers, replies.failure, replies.unanswered) == (["a", "b", "c"], None, 0)
    assert replies.warnings == ["2 answers more than questions, ignored"]


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ((500, b"boom"), "HTTP 500 boom"),
        ((422, b'{"detail": "prompt"}'), "HTTP 422"),
        ((201, dumped({"response": ["a", "b", "c"]})), "HTTP 201"),
        (b"not json", "no JSON object .it begins 'not json'"),
        (b"", "no JSON object"),
        (b"\xff\xfe\x00", "no JSON object"),
        (b"[" * 100_000, "no JSON object"),
        (dumped(["a", "b", "c"]), "no JSON object"),
        (dumped({"answer": ["a"]}), "no field \"response\" .it has 'answer'"),
        (dumped({"response": "abc"}), "response is a text, expected a list of 3 texts"),
        (dumped({"response": None}), "response is null"),
        (dumped({"response": {"0": "a"}}), "response is an object"),
        (dumped({"response": ["a", None, "c"]}), r"response\[1\] is null, expected text"),
        (dumped({"response": ["a", "b", 3]}), r"response\[2\] is a number"),
        (dumped({"response": [["a"], "b", "c"]}), r"response\[0\] is a list"),
        (None, "RemoteProtocolError"),
    ],
)
def test_a_broken_batch_reply_fails_the_submission_with_its_reason(service, reply, problem):
    service.routes["/predict"] = lambda prompt: reply
    replies = ask(service.url, QUESTIONS, "batch", 5)
    assert replies.answers == ["", "", ""]
    assert replies.unanswered == 3
    with pytest.raises(AssertionError, match=problem):
        raise AssertionError(replies.failure)


def test_half_surrogates_become_one_character_each(service):
    service.routes["/predict"] = lambda prompt: b'{"response": ["a\\ud800b", "\\udc00", "ok"]}'
    assert ask(service.url, QUESTIONS, "batch", 5).answers == ["a\ufffdb", "\ufffd", "ok"]


def test_a_service_that_is_gone(service):
    url = f"http://127.0.0.1:{free_port()}"
    assert "ConnectError" in ask(url, QUESTIONS, "batch", 5).failure
    assert "no question got a usable reply" in ask(url, QUESTIONS, "serial", 5).failure


@pytest.mark.parametrize(
    "reply",
    [
        b"no http at all\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nnot gzip",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\ncut",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 500 X\r\nContent-Type: text/plain; charset=zlib_codec\r\n\r\nboom",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n{}",
    ],
)
def test_broken_http_fails_the_submission(reply):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(reply)

        serving = threading.Thread(target=serve)
        serving.start()
        port = listening.getsockname()[1]
        replies = ask(f"http://127.0.0.1:{port}", QUESTIONS, "batch", 5)
        serving.join()
    assert replies.failure.startswith("POST /predict: ")
    assert replies.answers == ["", "", ""]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
WILD = st.one_of(
    st.binary(max_size=60),
    JSON_VALUES.map(lambda value: json.dumps(value).encode()),
    JSON_VALUES.map(lambda value: json.dumps({"response": value}).encode()),
    st.lists(st.text(max_size=5) | JSON_VALUES, max_size=6).map(
        lambda value: json.dumps({"response": value}).encode()
    ),
)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    body=WILD,
    status=st.sampled_from([200, 200, 200, 204, 404, 500]),
    mode=st.sampled_from(["batch", "serial"]),
)
def test_no_reply_breaks_the_client(service, body, status, mode):
    service.routes["/predict"] = lambda prompt: (status, body)
    replies = ask(service.url, QUESTIONS, mode, 5)
    assert len(replies.answers) == len(replies.seconds) == len(QUESTIONS)
    assert all(isinstance(answer, str) for answer in replies.answers)
    "".join(replies.answers).encode()  # fit for a file
    if replies.unanswered:
        assert replies.failure or replies.warnings
    if replies.failure:
        assert replies.answers == ["", "", ""]


# --- serial -------------------------------------------------------------------------------------


def test_serial_is_one_call_a_question(service):
    service.routes["/predict"] = lambda prompt: dumped({"response": prompt + "答"})
    done = []
    replies = ask(service.url, QUESTIONS, "serial", 5, done.append)
    assert service.bodies == [("/predict", {"prompt": question}) for question in QUESTIONS]
    assert replies.answers == [q + "答" for q in QUESTIONS]
    assert done == [1, 2, 3]
    assert replies.total_seconds == pytest.approx(sum(replies.seconds))
    assert (replies.failure, replies.warnings) == (None, [])


def test_the_time_limit_is_for_all_calls_together(service):
    service.routes["/predict"] = slowly(0.6, replying("a"))
    replies = ask(service.url, ["q"] * 6, "serial", 1.6)
    # Two calls of 0.6 s fit; the third is cut off at 1.6 s and the others are not asked.
    assert replies.answers == ["a", "a", "", "", "", ""]
    assert len(service.bodies) == 3
    assert replies.seconds[3:] == [None] * 3
    assert 1.6 <= replies.total_seconds < 3
    assert replies.unanswered == 4
    assert replies.failure is None
    assert replies.warnings == ["questions 3, 4, 5, 6: not answered within 1.6 s in total"]


def test_one_bad_single_reply_costs_only_itself(service):
    bad = {
        "q2": (500, b"boom"),
        "q3": b"nonsense",
        "q4": dumped({"response": ["a"]}),
        "q5": None,
        "q6": (500, b"boom"),
    }
    service.routes["/predict"] = lambda prompt: bad.get(prompt, dumped({"response": "a"}))
    replies = ask(service.url, [f"q{n}" for n in range(1, 8)], "serial", 5)
    assert replies.answers == ["a", "", "", "", "", "", "a"]
    assert replies.failure is None
    assert replies.unanswered == 5
    assert replies.warnings[0] == "questions 2, 6: HTTP 500 boom"
    assert replies.warnings[1].startswith("question 3: the reply is no JSON object")
    assert replies.warnings[2] == "question 4: response is a list, expected text"


def test_many_bad_replies_are_one_warning(service):
    service.routes["/predict"] = lambda prompt: (500, b"") if prompt else replying("a")(prompt)
    replies = ask(service.url, ["", *["q"] * 9], "serial", 5)
    assert replies.warnings == ["questions 2, 3, 4, 5, 6 and 4 more: HTTP 500"]


def test_an_empty_answer_is_an_answer(service):
    service.routes["/predict"] = replying("")
    replies = ask(service.url, QUESTIONS, "serial", 5)
    assert (replies.failure, replies.unanswered, replies.warnings) == (None, 0, [])
