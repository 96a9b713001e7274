"""The OpenAPI schema tells the truth: schemathesis asks the running service what the schema allows
and what it forbids, and every answer in the schema is provoked.

    SCHEMA_EXAMPLES=20000 bash test.sh tests/test_openapi.py -m slow

SCHEMA_EXAMPLES: inputs a route, 2,000 if unset.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from schemathesis import checks
from schemathesis.core.failures import FailureGroup

from serving.engine.base import EngineError
from serving.http.middleware import MAX_HEADER_BYTES
from serving.settings import Settings
from tests.instant_engine import InstantEngine, instant_app, running_app, served_app

AS_SAID = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]

MANY = int(os.environ.get("SCHEMA_EXAMPLES", "2000"))
TOKEN = "sesame"
KNOWN = {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize("token", ["", TOKEN])
@pytest.mark.parametrize("examples", [20, pytest.param(MANY, marks=pytest.mark.slow)])
def test_schemathesis_finds_nothing(examples: int, token: str, tmp_path: Path) -> None:
    options = ["--max-examples", str(examples), "--no-color"]
    if examples == MANY:
        options += ["--generation-database", "none"]
    else:
        options += ["--generation-deterministic"]
    if token:
        options += ["--header", f"Authorization: Bearer {token}"]
    tool = Path(sys.executable).with_name("schemathesis")
    with served_app(instant_app(Settings(api_token=token))) as url:
        done = subprocess.run(
            [tool, "run", f"{url}/openapi.json", *options],
            cwd=tmp_path,
            env={**os.environ, "PYTHONUTF8": "1"},
            capture_output=True,
            encoding="utf-8",
        )
    print(done.stdout)  # noqa: T201 - how many and which seed, for `pytest -s`
    assert done.returncode == 0, done.stdout + done.stderr


class FailingEngine(InstantEngine):
    """Instant until it fails: `lost` for good, or at the next call."""

    lost = False

    def healthy(self) -> bool:
        return not self.lost

    def submit(self, batch: Any) -> None:
        raise EngineError("the engine is lost")


def test_every_answer_in_the_schema_is_given_and_looks_as_it_says() -> None:
    settings = Settings(api_token=TOKEN, max_queue=1, max_body_bytes=1000, predict_budget_s=1)
    app = instant_app(settings)
    given: set[tuple[str, str, int]] = set()

    async def never_ending() -> AsyncIterator[bytes]:
        yield b'{"prompt":'
        await asyncio.sleep(60)

    async def provoke() -> dict[str, Any]:
        async with running_app(app) as client:
            raw = (await client.get("/openapi.json", headers=KNOWN)).json()
            schema = schemathesis.openapi.from_dict(raw)

            async def ask(method: str, path: str, **sent: Any) -> httpx.Response:
                reply = await client.request(method, path, **sent)
                reply.request = httpx.Request(method, reply.url)  # one whose body can be read
                schema[path][method].Case().validate_response(reply, checks=AS_SAID)
                given.add((path, method.lower(), reply.status_code))
                return reply

            async def ask_all() -> None:
                for path, methods in raw["paths"].items():
                    for method in methods:
                        await ask(method.upper(), path, headers=KNOWN, json={"prompt": "?"})
                        await ask(method.upper(), path, json={"prompt": ["?", ""]})
                        await ask(method.upper(), path, headers={"X": "y" * MAX_HEADER_BYTES})

            await ask_all()
            for path in ("/predict", "/passages"):
                post = partial(ask, "POST", path, headers=KNOWN)
                for wrong in (b"{", b"[]", b"x" * 2000):
                    await post(content=wrong)
                packed = {**KNOWN, "Content-Encoding": "gzip"}
                await ask("POST", path, headers=packed, content=b"\x1f\x8b")
                endless = asyncio.create_task(post(content=never_ending()))
                await asyncio.sleep(0.1)
                refused = await post(json={"prompt": "?"})
                assert refused.status_code == 503 and int(refused.headers["Retry-After"]) >= 1
                assert (await ask("GET", "/readyz", headers=KNOWN)).json() == {"ready": False}
                assert (await endless).status_code == 408

            app.state.service.answerer.engine.__class__ = FailingEngine
            assert (await ask("POST", "/predict", json={"prompt": "?"})).status_code == 503
            app.state.service.answerer.engine.lost = True
            await ask_all()
            return raw

    paths = asyncio.run(provoke())["paths"]
    assert given == {
        (path, method, int(status))
        for path, methods in paths.items()
        for method, operation in methods.items()
        for status in operation["responses"]
    }


def test_what_is_not_in_the_schema_is_noticed() -> None:
    """The doubt about the test above: would validate_response complain?"""

    async def schema() -> Any:
        async with running_app(instant_app(Settings(api_token=TOKEN))) as client:
            return schemathesis.openapi.from_dict(
                (await client.get("/openapi.json", headers=KNOWN)).json()
            )

    case = asyncio.run(schema())["/info"]["GET"].Case()

    def check(status: int, headers: dict[str, str], **body: Any) -> None:
        request = httpx.Request("GET", "http://test/info")
        reply = httpx.Response(status, headers=headers, request=request, **body)
        reply.elapsed = timedelta(0)
        case.validate_response(reply, checks=AS_SAID)

    bearer = {"WWW-Authenticate": "Bearer"}
    check(401, bearer, json={"error": "no"})
    with pytest.raises(FailureGroup, match="(?i)status code"):
        check(418, bearer, json={"error": "no"})
    with pytest.raises(FailureGroup, match="(?i)header"):
        check(401, {}, json={"error": "no"})
    with pytest.raises(FailureGroup, match="(?i)schema"):
        check(401, bearer, json={"detail": "no"})
    with pytest.raises(FailureGroup, match="(?i)content-type"):
        check(401, bearer, text="no")
