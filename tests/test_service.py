"""The judge's contract, against the real service with the real vLLM and a real HTTP client."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from serving.settings import Settings
from tests.conftest import TINY_PAIRS, Service, running_service
from tests.instant_engine import instant_app, served_app

pytestmark = pytest.mark.vllm

QUESTIONS = list(TINY_PAIRS)


FOUR_DRAWS = {"ANSWER_DRAWS": "4", "DRAW_TEMPERATURE": "0.2"}


@pytest.fixture(
    scope="module",
    params=[{}, pytest.param(FOUR_DRAWS, marks=pytest.mark.slow)],
    ids=["greedy", "draws"],
)
def service(
    request: pytest.FixtureRequest, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
):
    log_dir = tmp_path_factory.mktemp("service")
    variables = {"MODEL_DIR": str(tiny_model), "MAX_BODY_BYTES": "100000", **request.param}
    with running_service(log_dir, **variables) as it:
        # The judge takes the first answer of GET / as "ready": until then nobody must listen.
        with pytest.raises(httpx.ConnectError):
            it.client.get("/")
        it.wait_until_ready()
        yield it


def ask(service: Service, prompt: str | list[str]) -> str | list[str]:
    reply = service.client.post("/predict", json={"prompt": prompt})
    assert reply.status_code == 200, reply.text
    assert reply.json().keys() == {"response"}
    return reply.json()["response"]


def test_first_answer_is_the_mode_and_the_model_answers_at_once(service: Service) -> None:
    assert service.client.get("/").json() == {"status": "batch"}
    assert ask(service, QUESTIONS[0]) == TINY_PAIRS[QUESTIONS[0]]


def test_a_batch_answers_every_question_in_order(service: Service) -> None:
    asked = QUESTIONS[::-1] + QUESTIONS
    assert ask(service, asked) == [TINY_PAIRS[question] for question in asked]


def test_a_big_batch_keeps_count_and_order(service: Service) -> None:
    asked = [QUESTIONS[i % len(QUESTIONS)] for i in range(358)]
    assert ask(service, asked) == [TINY_PAIRS[question] for question in asked]


def test_one_question_is_answered_as_in_a_batch(service: Service) -> None:
    assert [ask(service, question) for question in QUESTIONS] == ask(service, QUESTIONS)


def test_empty_list_and_blank_questions_need_no_model(service: Service) -> None:
    assert ask(service, []) == []
    assert ask(service, "") == ""
    assert ask(service, ["", QUESTIONS[1], "  \n"]) == ["", TINY_PAIRS[QUESTIONS[1]], ""]


def test_a_question_longer_than_the_context_does_not_sink_the_batch(service: Service) -> None:
    answers = ask(service, [QUESTIONS[0], "很长的问题。" * 3000, QUESTIONS[1]])
    assert answers[0] == TINY_PAIRS[QUESTIONS[0]]
    assert answers[2] == TINY_PAIRS[QUESTIONS[1]]
    assert "is cut to" in service.log()


def test_a_broken_character_in_one_of_358_questions_costs_the_others_nothing(
    service: Service,
) -> None:
    asked = [QUESTIONS[i % len(QUESTIONS)] for i in range(358)]
    right = [TINY_PAIRS[question] for question in asked]
    broken = ["\ud83d" + asked[0], asked[1] + "\0", *asked[2:]]
    body = json.dumps({"prompt": broken}).encode()
    reply = service.client.post("/predict", content=body)
    assert reply.status_code == 200
    assert reply.json()["response"] == right


def test_head_answers_like_get(service: Service) -> None:
    head, get = service.client.head("/"), service.client.get("/")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert head.headers["content-length"] == get.headers["content-length"]


def test_many_clients_at_once_get_their_own_answers(service: Service) -> None:
    asked = QUESTIONS * 20
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda question: ask(service, question), asked))
    assert answers == [TINY_PAIRS[question] for question in asked]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b'{"prompt": ', 400, "not valid JSON"),
        (b"\xff\xfe", 400, "not valid JSON"),
        (b"[1, 2]", 422, "body: a JSON array"),
        (b"{}", 422, "prompt: missing"),
        (b'{"prompt": 7}', 422, "prompt: a JSON number"),
        (b'{"prompt": null}', 422, "prompt: a JSON null"),
        (b'{"prompt": ["a", ["b"]]}', 422, "prompt[1]: a JSON array"),
        (b'{"prompt": "' + b"x" * 200_000 + b'"}', 413, "MAX_BODY_BYTES"),
    ],
)
def test_bad_input_names_the_field_and_the_next_call_works(
    service: Service, body: bytes, status: int, words: str
) -> None:
    reply = service.client.post("/predict", content=body)
    assert reply.status_code == status
    assert words in reply.json()["error"]
    assert ask(service, QUESTIONS[0]) == TINY_PAIRS[QUESTIONS[0]]


def test_info_tells_what_runs_and_no_more(service: Service, tiny_model: Path) -> None:
    info = service.client.get("/info").json()
    assert info["engine"]["name"] == "vllm"
    assert info["model"]["demo"] is True
    assert info["settings"]["model_dir"] == str(tiny_model)
    assert info["startup"]["mode"] == "tuned"


def test_serial_mode_says_so() -> None:
    with served_app(instant_app(Settings(serve_mode="serial"))) as url:
        assert httpx.get(url).json() == {"status": "serial"}
        assert httpx.post(f"{url}/predict", json={"prompt": "问？"}).json()["response"]


def test_a_budget_ends_a_batch_in_time_with_what_there_is(
    untrained_model: Path, tmp_path: Path
) -> None:
    variables = {"MODEL_DIR": str(untrained_model), "PREDICT_BUDGET_S": "1.5", "MAX_TOKENS": "1500"}
    variables["END_REPETITION"] = "0"  # noise runs in loops
    with running_service(tmp_path, **variables) as hurried:
        hurried.wait_until_ready()
        reply = hurried.client.post("/predict", json={"prompt": QUESTIONS * 10})
        assert reply.elapsed.total_seconds() < 3.5
        assert len(reply.json()["response"]) == len(QUESTIONS) * 10
        assert "returned as they stand" in hurried.log()


def test_a_model_directory_without_a_model_stops_with_its_name(tmp_path: Path) -> None:
    with running_service(tmp_path, MODEL_DIR=str(tmp_path / "nothing")) as broken:
        assert broken.process.wait(120) == 1
        assert "no config.json there" in broken.log()
        assert "Traceback" not in broken.log()


def test_bad_settings_stop_the_service_and_are_listed_all_at_once(tmp_path: Path) -> None:
    with running_service(tmp_path, MAX_TOKENS="-1", SERVE_MODE="fast") as broken:
        assert broken.process.wait(60) != 0
        assert "MAX_TOKENS" in broken.log()
        assert "SERVE_MODE" in broken.log()
