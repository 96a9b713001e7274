"""`GET /docs`: the API's description as one page that needs no network.

FastAPI's own page loads Swagger UI from a CDN, which a container without network cannot.
"""

import json
from html import escape
from typing import Any

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto }}
pre, code {{ background: #8882; padding: .1rem .3rem; overflow-x: auto }}
</style>
<h1>{title}</h1>
<pre>curl -s http://127.0.0.1:8000/predict -d '{{"prompt": ["什么是线程？"]}}'</pre>
{operations}
<p>As OpenAPI: <a href="openapi.json">openapi.json</a></p>
"""


def docs_page(schema: dict[str, Any]) -> str:
    """HTML with every operation of an OpenAPI schema: what it takes and what it can answer."""
    operations = [
        _operation(method, path, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]
    title = escape(f"{schema['info']['title']} {schema['info']['version']}")
    return _PAGE.format(title=title, operations="\n".join(operations))


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [f"<h2><code>{method.upper()} {escape(path)}</code></h2>"]
    parts.append(f"<p>{escape(operation.get('description', ''))}</p>")
    for content in operation.get("requestBody", {}).get("content", {}).values():
        text = json.dumps(content["schema"]["properties"], ensure_ascii=False)
        parts.append(f"<pre>{escape(text)}</pre>")
    answers = [
        f"<li>{status}: {escape(answer['description'])}</li>"
        for status, answer in sorted(operation["responses"].items())
    ]
    return "\n".join([*parts, "<ul>", *answers, "</ul>"])
