"""Whatever a client sends to a path of the OpenAPI document, the answer is one that the document names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pandas as pd
import pytest
from fastapi.testclient import TestClient

import foregsyte_kaggle as fk
from foregsyte_kaggle.api import create_app
from foregsyte_kaggle.workspace import Workspace

pytestmark = pytest.mark.unit

ALLOWED = {"Authorization": "Bearer open-sesame", "Content-Type": "application/json"}
ODD = [
    None,
    -1,
    2**63,
    float("nan"),
    "",
    "\0",
    "\ud800",
    "x" * 5_000,
    "' OR true --",
    [],
    [None],
    {"": {"a": [None]}},
]


@pytest.fixture
def client(memory_workspace: Workspace) -> Iterator[TestClient]:
    """A client of a ledger with a job of each outcome, and one that waits."""

    @fk.pipeline("letters")
    def letters(text: str, **_params: Any) -> dict[str, int]:
        return {"length": 6 // (len(text) - 1)}

    fk.register_jobs(pd.DataFrame({"id": ["a", "bb", "ccc"]}), "letters", name="some")
    fk.run_jobs("letters", executor="inline", progress=False, limit=2)
    made = create_app(memory_workspace, token="open-sesame", hosts={"testserver"})
    with TestClient(made, raise_server_exceptions=False) as one:
        yield one


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema, or the one that it refers to."""
    name = schema.get("$ref", "").rpartition("/")[2]
    return document["components"]["schemas"][name] if name else schema


def as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def requests(document: dict[str, Any], job_id: str) -> Iterator[tuple[str, str, str, str, Any]]:
    """Yield path, method, URL, query and body: each parameter and field in turn with each odd value."""
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            usual = path.replace("{job_id}", job_id)
            content = told.get("requestBody", {}).get("content", {})
            body = resolved(document, content.get("application/json", {}).get("schema", {}))
            fields = body.get("properties", {})
            good = {"source": ["https://x.test/a"], "pipeline_id": "letters"}
            good = {name: value for name, value in good.items() if name in fields}
            yield path, method, usual, "", good
            for value in ODD:
                escaped = quote(as_text(value).encode(errors="surrogatepass"), safe="")
                for parameter in told.get("parameters", ()):
                    if parameter["in"] == "path":
                        yield path, method, path.replace("{job_id}", escaped), "", good
                    else:
                        yield path, method, usual, f"{parameter['name']}={escaped}", good
                for name in fields:
                    yield path, method, usual, "", {**good, name: value}
                if fields:
                    yield path, method, usual, "", value


def test_every_path_answers_any_input_as_the_document_says(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    job_id = client.get("/jobs").json()["jobs"][0]["job_id"]
    asked = 0
    for path, method, url, query, body in requests(document, job_id):
        sent = json.dumps(body) if method == "post" else None
        answer = client.request(method, f"{url}?{query}", content=sent, headers=ALLOWED)
        where = (method, url[:80], query[:80], sent and sent[:200], answer.text[:300])
        named = document["paths"][path][method]["responses"]
        assert str(answer.status_code) in named, where
        if answer.status_code >= 400:
            assert answer.json()["detail"], where
        asked += 1
    assert asked > 300
