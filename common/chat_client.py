"""JSON from any OpenAI-compatible endpoint, through the official client.

An endpoint is asked in the strictest format that it takes: json_schema, else json_object (some
answer 400 to the first), else none, from the first refusal on.
"""

import json
import os
import re
from collections.abc import Callable
from threading import Lock
from typing import Any

from common.json_reply import ReplyError, with_escapes
from common.language import BilingualError, either

FORMATS = ("json_schema", "json_object", "none")
_ABOUT_FORMAT = re.compile(r"response_?format|json|schema|structured|guided|grammar", re.I)
_ABOUT_CONTENT = re.compile(
    r"content|risk|filter|policy|sensitive|moderation|inspection|敏感|违规|安全|context length",
    re.I,
)
# An account without money is told so with 402, or among the reasons to ask more slowly (429).
_ABOUT_MONEY = re.compile(r"insufficient.?(?:balance|funds)|arrear|余额|欠费|充值", re.I)
# OpenAI says so of an empty account, Alibaba and Gemini of a minute's limit too.
_MAYBE_MONEY = re.compile(r"insufficient.?quota|current.?quota|billing", re.I)
_ABOUT_RATE = re.compile(
    r"(?:retry|try again) (?:in|after)\b|rate.?limit|token.?limit|per.?minute|\b[tr]pm\b|限流|频率",
    re.I,
)


class RefusedError(ReplyError):
    """The endpoint will not speak of this; asking again would only cost."""


class EndpointError(Exception):
    """The endpoint did not serve a call, even after the client's retries."""


class EndpointRefusesError(BilingualError):
    """The endpoint refuses the key or the model, or wants to be paid: no call will succeed."""


def key_of(variable: str) -> str:
    """The endpoint's key, from an environment variable. Raises EndpointRefusesError without one."""
    if key := os.environ.get(variable, ""):
        return key
    raise EndpointRefusesError(
        f"环境变量 {variable} 是空的；把接口的密钥放在那里（不要密钥的服务，随便写一个词）",
        f"the environment variable {variable} is empty; put the endpoint's key there (any "
        "word, for a server without keys)",
    )


class ChatClient:
    """One endpoint and one model; calls may come from several threads.

    used: called with prompt and answer tokens after each call. noted: told in words when the
    endpoint refuses a format. reply_tokens: bound of a reply, 0 for none. temperature: None for the
    endpoint's own, also from the first refusal of it on. timeout: seconds a call; retries: the
    client's own, with exponential backoff.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        key: str,
        timeout: float = 120,
        retries: int = 4,
        reply_tokens: int = 0,
        temperature: float | None = None,
        noted: Callable[[str], None] = lambda text: None,
    ) -> None:
        from openai import OpenAI

        self.model = model
        self.served = False
        self._reply_tokens = reply_tokens
        self._temperature = temperature
        self._noted = noted
        self._format = 0  # number in FORMATS; calls at once may step it on together
        self._told_of_thoughts = False
        self._lock = Lock()
        self._client = OpenAI(base_url=base_url, api_key=key, timeout=timeout, max_retries=retries)

    def call(
        self,
        messages: list[dict[str, str]],
        name: str,
        schema: dict[str, Any],
        used: Callable[[int, int], None] = lambda prompt, answer: None,
    ) -> Any:
        """One completion that is to fit a JSON schema called `name`, as the client gives it.

        Raises ReplyError (RefusedError where asking again is of no use), EndpointError and
        EndpointRefusesError.
        """
        import openai

        while True:
            number = self._format
            try:
                reply = self._client.chat.completions.create(
                    model=self.model, messages=messages, **self._arguments(number, name, schema)
                )
                told = getattr(reply, "usage", None)
                used(_count(told, "prompt_tokens"), _count(told, "completion_tokens"))
                if not hasattr(reply, "choices"):  # a page, a stream, a bare value
                    raise ReplyError(f"not a completion (begins {str(reply)[:60]!r})")
                self.served = True
                if _in_thoughts(reply):
                    self._note_thoughts()
                return reply
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                said = str(error)
                if self._temperature is not None and "temperature" in said:
                    self._temperature = None  # models that reason take none but their own
                    continue
                about_content = _ABOUT_CONTENT.search(said) and not _ABOUT_FORMAT.search(said)
                # Where another call has stepped on since, what it was served by is tried first.
                latest = number == self._format
                unknown = self.served and latest and not _ABOUT_FORMAT.search(said)
                if number + 1 == len(FORMATS) or about_content or unknown:
                    raise RefusedError(f"refused by the endpoint ({said[:120]})") from error
                self._step_down(number, said)
            except openai.PermissionDeniedError as error:
                if _ABOUT_CONTENT.search(str(error)):
                    raise RefusedError(f"refused by the endpoint ({str(error)[:120]})") from error
                if self.served:
                    raise EndpointError(f"{type(error).__name__}: {error}") from error
                raise EndpointRefusesError(
                    f"接口拒绝了：{error}", f"the endpoint refuses: {error}"
                ) from error
            except (openai.AuthenticationError, openai.NotFoundError) as error:
                raise EndpointRefusesError(
                    f"接口拒绝了：{error}", f"the endpoint refuses: {error}"
                ) from error
            except (openai.APIResponseValidationError, json.JSONDecodeError) as error:
                # The body of a 200 is no JSON at all.
                raise ReplyError(f"broken JSON ({error})") from error
            except openai.APIStatusError as error:
                if self._unpaid(error.status_code, str(error)):
                    raise EndpointRefusesError(
                        f"接口要付费：{error}", f"the endpoint wants to be paid: {error}"
                    ) from error
                raise EndpointError(f"{type(error).__name__}: {error}") from error
            except openai.APIError as error:  # time-out or lost connection after retries
                raise EndpointError(f"{type(error).__name__}: {error}") from error

    def _unpaid(self, status: int, said: str) -> bool:
        """Does this mean an empty account? In doubt only where nothing was ever served, even after
        the client's retries: whoever was served has met a limit."""
        if status != 429 or _ABOUT_RATE.search(said):
            return status == 402
        return bool(_ABOUT_MONEY.search(said) or (not self.served and _MAYBE_MONEY.search(said)))

    def _arguments(self, number: int, name: str, schema: dict[str, Any]) -> dict[str, Any]:
        kind = FORMATS[number]
        given: dict[str, Any] = {}
        if kind == "json_schema":
            schema_of = {"name": name, "strict": True, "schema": schema}
            given["response_format"] = {"type": kind, "json_schema": schema_of}
        elif kind == "json_object":
            given["response_format"] = {"type": kind}
        if self._temperature is not None:
            given["temperature"] = self._temperature
        if self._reply_tokens:
            given["max_tokens"] = self._reply_tokens
        return given

    def _step_down(self, number: int, said: str) -> None:
        with self._lock:
            if self._format != number:
                return  # another call was first
            self._format = number + 1
        told = f"the endpoint refuses {FORMATS[number]} ({said[:80]}); asked with "
        self._noted(f"{told}{FORMATS[number + 1]} from here on")

    def _note_thoughts(self) -> None:
        with self._lock:
            if self._told_of_thoughts:
                return
            self._told_of_thoughts = True
        self._noted(
            either(
                "有的回复 content 是空的，完整的 JSON 在 reasoning_content 里：用了它",
                "replies had an empty content and whole JSON in reasoning_content, which was taken",
            )
        )


def reply_text(reply: Any) -> str:
    """The text of a completion. Raises ReplyError, RefusedError for a refusal or a filter."""
    if not getattr(reply, "choices", None):
        # Gateways answer 200 with an error of their own.
        said = (getattr(reply, "model_extra", None) or {}).get("error") or ""
        said = said.get("message", said) if isinstance(said, dict) else said
        raise ReplyError(f"a reply without choices{f' ({str(said)[:80]})' if said else ''}")
    choice = reply.choices[0]
    if choice.message is None:
        raise ReplyError("a reply without a message")
    if getattr(choice.message, "refusal", None):
        raise RefusedError(f"refused ({choice.message.refusal[:80]})")
    if choice.finish_reason == "content_filter":
        raise RefusedError("refused by the endpoint's content filter")
    content = choice.message.content or _in_thoughts(reply)
    if isinstance(content, list):  # parts of several kinds
        parts = [part.get("text", "") for part in content if isinstance(part, dict)]
        return "".join(part for part in parts if isinstance(part, str))
    return json.dumps(content, ensure_ascii=False) if isinstance(content, dict) else content or ""


def _in_thoughts(reply: Any) -> str:
    """A whole reply in JSON where thoughts are to stand, and nothing is said beside them: vLLM with
    a reasoning parser puts all of a reply without thoughts there. Else ""."""
    choice = reply.choices[0] if reply.choices else None
    if not choice or not choice.message or choice.message.content or choice.finish_reason != "stop":
        return ""
    text = getattr(choice.message, "reasoning_content", None)
    if not isinstance(text, str):
        return ""
    try:
        value = json.loads(with_escapes(text), strict=False)
    except json.JSONDecodeError:
        return ""
    return text if isinstance(value, dict | list) else ""


def _count(usage: Any, name: str) -> int:
    """Tokens as an endpoint tells them; 0 for none."""
    value = getattr(usage, name, None)
    return int(value) if isinstance(value, int | float) or str(value).isdigit() else 0
