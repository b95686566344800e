"""The HTTP face: every path of its OpenAPI document with good and bad input, and never an answer of 5xx."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

import foregsyte_kaggle as fk
from foregsyte_kaggle import errors
from foregsyte_kaggle.api import app, create_app, get_db
from foregsyte_kaggle.api.cursors import Place, read_place, write_place
from foregsyte_kaggle.api.problems import status_of
from foregsyte_kaggle.database import Base
from foregsyte_kaggle.workspace import Workspace
from tests.job_tables import plain_rows, seed

pytestmark = pytest.mark.unit

TOKEN = "open-sesame"
ALLOWED = {"Authorization": f"Bearer {TOKEN}"}
NOBODY = uuid.UUID(int=7)


@pytest.fixture
def served(memory_workspace: Workspace) -> Workspace:
    """A ledger of 57 seeded jobs, and one completed with rows that JSON cannot hold as they are."""

    @fk.pipeline("odd")
    def odd(_text: str, **_params: int) -> list[dict[str, Any]]:
        return (
            [
                {
                    "number": float("nan"),
                    "big": 2**62,
                    "bytes": b"\xff",
                    "nested": {"a": [1, None]},
                },
                {"number": float("inf"), "big": n, "bytes": b"", "nested": None},
            ]
            * 15
            if (n := 3)
            else []
        )

    fk.register_jobs(pd.DataFrame({"id": ["<b>one</b>"]}), "odd", name="ids", params={"k": 1})
    fk.run_jobs("odd", executor="inline", progress=False)
    seed(memory_workspace)
    return memory_workspace


@pytest.fixture
def client(served: Workspace) -> Iterator[TestClient]:
    made = create_app(served, token=TOKEN, hosts={"testserver"})
    with TestClient(made) as one:
        yield one


def odd_job(client: TestClient) -> str:
    return str(client.get("/jobs", params={"pipeline_id": "odd"}).json()["jobs"][0]["job_id"])


#: Of each path and method: right query or body, and wrong ones with a word that the answer says.
GOOD: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("get", "/"): [{}, {"status": "failed", "search": "bad"}, {"status": "", "number": 99}],
    ("get", "/health"): [{}],
    ("get", "/counts"): [{}, {"pipeline_id": "ocr", "source": "night"}],
    ("get", "/jobs"): [{}, {"status": ["failed", "pending"], "limit": 500}, {"search": "CLIP"}],
    ("get", "/jobs/{job_id}"): [{}],
    ("get", "/jobs/{job_id}/results"): [{}, {"offset": 29, "limit": 1}, {"offset": 10**9}],
    ("post", "/jobs"): [{"source": ["https://x.test/a"], "pipeline_id": "odd", "name": "web"}],
    ("post", "/jobs/retry"): [{}, {"status": "completed", "job_ids": [str(NOBODY)]}],
}
BAD: dict[tuple[str, str], list[tuple[dict[str, Any], str]]] = {
    ("get", "/"): [
        ({"status": "done"}, "'done'"),
        ({"number": 0}, "number"),
        ({"pipeline_id": "nope"}, "no pipeline 'nope'"),
    ],
    ("get", "/health"): [],
    ("get", "/counts"): [
        ({"pipeline_id": "oc"}, "Did you mean 'ocr'"),
        ({"source": "noon"}, "no source is named 'noon'"),
    ],
    ("get", "/jobs"): [
        ({"status": "done"}, "status"),
        ({"limit": 0}, "limit"),
        ({"limit": 501}, "less than or equal to 500"),
        ({"limit": 10**40}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"cursor": "???"}, "expected what 'next'"),
        ({"cursor": ""}, "expected what 'next'"),
        ({"cursor": "ü"}, "expected what 'next'"),
        ({"cursor": write_place(Place(job_id=NOBODY))}, "not in the ledger any more"),
        ({"source": "noon"}, "no source"),
        ({"stauts": "failed"}, "Did you mean 'status'"),
    ],
    ("get", "/jobs/{job_id}"): [({"offset": 1}, "no parameter 'offset'. There are none here.")],
    ("get", "/jobs/{job_id}/results"): [
        ({"offset": -1}, "offset"),
        ({"offset": 2**63}, "offset"),
        ({"limit": 501}, "limit"),
    ],
    ("post", "/jobs"): [
        ({}, "source"),
        ({"source": "no-such-folder", "pipeline_id": "odd"}, "no-such-folder"),
        ({"source": ["a\0b"], "pipeline_id": "odd"}, ""),
        ({"source": [], "pipeline_id": "odd"}, ""),
        ({"source": ["https://x.test/a"], "pipeline_id": "nope"}, "nope"),
        ({"source": ["https://x.test/a"], "pipeline_id": "odd", "unit": "page"}, "unit"),
        ({"source": ["https://x.test/a"], "pipeline_id": "odd", "limit": 0}, "limit"),
        ({"source": ["https://x.test/a"], "pipeline_id": "odd", "colour": 1}, "colour"),
        ({"source": ["https://x.test/\ud800"], "pipeline_id": "odd"}, ""),
    ],
    ("post", "/jobs/retry"): [
        ({"status": "pending"}, "cannot be retried"),
        ({"job_ids": ["x"]}, "job_ids"),
        ({"pipeline_id": "nope"}, "nope"),
        ({"colour": 1}, "colour"),
    ],
}


def ask(client: TestClient, method: str, path: str, asked: dict[str, Any], **kwargs: Any) -> Any:
    if method == "get":
        return client.get(path, params=asked, **kwargs)
    import json  # lone surrogates too

    headers = {"Content-Type": "application/json", **kwargs.pop("headers", ALLOWED)}
    return client.post(path, content=json.dumps(asked), headers=headers, **kwargs)


def test_every_path_of_the_document_answers_good_input_and_explains_bad(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    offered = {(method, path) for path, methods in paths.items() for method in methods}
    assert offered == GOOD.keys() == BAD.keys(), "give the new path good and bad input here"
    job_id = odd_job(client)
    for (method, path), cases in GOOD.items():
        for asked in cases:
            answer = ask(client, method, path.format(job_id=job_id), asked)
            assert answer.status_code in (200, 201), (path, asked, answer.text)
    for (method, path), wrong in BAD.items():
        for asked, said in wrong:
            answer = ask(client, method, path.format(job_id=job_id), asked)
            assert answer.status_code == 422, (path, asked, answer.text)
            assert said in answer.json()["detail"], (asked, answer.text)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 9_999, b'{"source": NaN}']
)
def test_a_body_that_is_no_object_is_refused(client: TestClient, body: bytes) -> None:
    for path in ("/jobs", "/jobs/retry"):
        answer = client.post(
            path, content=body, headers={**ALLOWED, "Content-Type": "application/json"}
        )
        assert answer.status_code in (400, 422), answer.text
        assert answer.json()["detail"]


@pytest.mark.parametrize("path", ["/jobs/{}", "/jobs/{}/results"])
def test_a_bad_id_is_422_and_an_unknown_one_404(client: TestClient, path: str) -> None:
    assert client.get(path.format("not-an-id")).status_code == 422
    unknown = client.get(path.format(NOBODY))
    assert unknown.status_code == 404
    assert str(NOBODY) in unknown.json()["detail"]


@pytest.mark.parametrize("limit", [1, 7, 500])
def test_pages_hold_every_job_once_in_order_also_those_without_a_position(
    client: TestClient, served: Workspace, limit: int
) -> None:
    found, cursor = [], {}
    while True:
        page = client.get("/jobs", params={"limit": limit, **cursor}).json()
        found += [job["input_path"] for job in page["jobs"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert found == plain_rows(served)


def test_pages_hold_while_jobs_are_added_and_numbered(
    client: TestClient, served: Workspace
) -> None:
    from foregsyte_kaggle.ledger import number_jobs

    before = plain_rows(served)
    first = client.get("/jobs", params={"limit": len(before) - 2}).json()
    with served.database.transaction() as connection:
        number_jobs(connection)
    fk.register_jobs(pd.DataFrame({"id": ["late"]}), "odd", name="ids", params={"k": 1})
    rest = client.get("/jobs", params={"cursor": first["next"]}).json()
    assert rest["next"] is None
    found = [job["input_path"] for page in (first, rest) for job in page["jobs"]]
    assert found == [*before, "late"]


def test_filters_hold_on_every_page(client: TestClient, served: Workspace) -> None:
    asked = {"status": "failed", "source": "night", "limit": 2}
    found, page = [], client.get("/jobs", params=asked).json()
    while page["jobs"]:
        found += [job["input_path"] for job in page["jobs"]]
        if page["next"] is None:
            break
        page = client.get("/jobs", params={**asked, "cursor": page["next"]}).json()
    assert found == plain_rows(served, statuses=(fk.JobStatus.failed,), source="night")


def test_one_job_comes_with_its_attempts_and_result(client: TestClient) -> None:
    job = client.get(f"/jobs/{odd_job(client)}").json()
    assert job["input_path"] == "<b>one</b>"
    assert job["params"] == {"k": 1}
    assert [one["outcome"] for one in job["tries"]] == ["completed"]
    assert job["result"]["total"] == 30
    assert len(job["result"]["rows"]) == 20
    first = job["result"]["rows"][0]
    assert first["number"] is None
    assert first["big"] == 2**62
    assert first["nested"]["a"] == [1, None]
    rest = client.get(f"/jobs/{job['job_id']}/results", params={"offset": 20}).json()
    assert len(rest["rows"]) == 10


def test_counts_and_health_agree_with_the_ledger(client: TestClient, served: Workspace) -> None:
    from foregsyte_kaggle import schema

    counts = client.get("/counts").json()
    health = client.get("/health").json()
    assert sum(counts.values()) == 58
    assert health["jobs"] == counts
    assert health["revision"] == schema.head_revision()
    assert health["version"] == fk.__version__
    assert not health["read_only"]
    assert health["runs"] == []


def test_submitted_jobs_are_there_and_failed_ones_are_retried(client: TestClient) -> None:
    asked = {
        "source": ["https://x.test/a", "https://x.test/b"],
        "pipeline_id": "odd",
        "name": "web",
    }
    for added, unchanged in ((2, 0), (0, 2)):
        done = ask(client, "post", "/jobs", asked).json()
        assert (done["added"], done["unchanged"]) == (added, unchanged)
    failed = client.get("/counts").json()["failed"]
    assert failed
    assert ask(client, "post", "/jobs/retry", {}).json() == {"retried": failed}
    assert client.get("/counts").json()["failed"] == 0


@pytest.mark.parametrize("path", ["/jobs", "/jobs/retry", "/health", "/none"])
def test_without_a_token_every_change_is_refused_with_what_to_do(
    served: Workspace, path: str
) -> None:
    client = TestClient(create_app(served, hosts={"testserver"}))
    for method in ("post", "put", "delete", "patch"):
        answer = getattr(client, method)(path)
        assert answer.status_code == 403
        assert "serve(token=" in answer.json()["detail"]
    assert client.get("/health").json()["read_only"]


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer open-sesam", "Basic open-sesame", "Bearer ü"]
)
def test_a_wrong_token_is_401(client: TestClient, header: str) -> None:
    answer = client.post("/jobs/retry", json={}, headers={"Authorization": header.encode()})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert TOKEN not in answer.text


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("LOCALHOST", 200),
        ("evil.test", 421),
        ("localhost.evil.test", 421),
        ("localhost:1@evil.test", 421),
        ("[::1]evil.test", 421),
        ("192.168.0.7:8000", 421),
        ("", 421),
    ],
)
def test_only_requests_to_this_machine_by_its_own_names_are_answered(
    served: Workspace, host: str, status: int
) -> None:
    answer = TestClient(create_app(served)).get("/health", headers={"Host": host})
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/jobs", "/health", "/openapi.json"])
def test_head_is_answered_as_get_is(client: TestClient, path: str) -> None:
    answer = client.head(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == client.get(path).headers["content-type"]


def test_a_body_that_is_not_sent_as_json_is_told_the_header(client: TestClient) -> None:
    answer = client.post("/jobs/retry", data={"status": "failed"}, headers=ALLOWED)
    assert answer.status_code == 422
    assert "'Content-Type: application/json'" in answer.json()["detail"]


def test_reached_from_elsewhere_any_address_is_answered_and_no_foreign_name(
    served: Workspace,
) -> None:
    client = TestClient(create_app(served, any_address=True))
    assert client.get("/health", headers={"Host": "192.168.0.7:80"}).status_code == 200
    assert client.get("/health", headers={"Host": "evil.test"}).status_code == 421


def test_a_page_of_another_site_reads_nothing_but_may_link_here(client: TestClient) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert client.get("/jobs", headers=foreign).status_code == 403
    assert client.get("/", headers={**foreign, "Sec-Fetch-Mode": "navigate"}).status_code == 200


def test_the_page_escapes_all_and_lets_only_its_own_script_run(
    client: TestClient, served: Workspace
) -> None:
    evil = '"><script>alert(1)</script>'
    fk.register_jobs(pd.DataFrame({"id": [evil]}), "odd", name=evil)
    answer = client.get("/", params={"search": "<SCRIPT>"})
    assert answer.text.count("<script>") == 1
    assert "&lt;script&gt;alert(1)" in answer.text
    assert "http://" not in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "frame-ancestors 'none'" in policy
    assert re.search(r"script-src 'sha256-[\w+/]{43}='", policy)


def test_the_page_leads_to_the_next_with_its_filters(client: TestClient) -> None:
    first = client.get("/", params={"search": "clip"}).text
    assert "Jobs 1 to 50 of 57" in first
    (link,) = re.findall(r'href="(/\?[^"]+)">Next', first)
    assert "Jobs 51 to 57 of 57" in client.get(link.replace("&amp;", "&")).text


def test_without_a_workspace_the_answer_says_bootstrap() -> None:
    answer = TestClient(app).get("/jobs")
    assert answer.status_code == 503
    assert "bootstrap()" in answer.json()["detail"]


def test_every_error_of_ours_has_a_status() -> None:
    for name in errors.__all__:
        kind = getattr(errors, name)
        if isinstance(kind, type):
            assert status_of(kind("why")) in (409, 422, 503)


@pytest.mark.parametrize("place", [Place(0), Place(2**63 - 1), Place(job_id=NOBODY)])
def test_a_place_is_read_as_it_was_written(place: Place) -> None:
    assert read_place(write_place(place)) == place


# The seed's fixture, as it is there but for the import paths.
@pytest.fixture
def seeds_client() -> Iterator[TestClient]:
    engine = create_engine("duckdb:///:memory:", future=True)
    TestingSessionLocal = sessionmaker(bind=engine)

    Base.metadata.create_all(engine)

    def override_get_db():
        db = TestingSessionLocal()
        try:
            yield db
        finally:
            db.close()

    app.dependency_overrides[get_db] = override_get_db

    with TestClient(app) as c:
        yield c
    app.dependency_overrides.clear()


def test_the_seeds_client_sees_what_its_sessions_wrote(seeds_client: TestClient) -> None:
    assert seeds_client.get("/jobs").json() == {"jobs": [], "next": None}
    health = seeds_client.get("/health")
    assert health.json()["revision"] is None
    given = app.dependency_overrides[get_db]()
    db = next(given)
    job = fk.Job(pipeline_id="yolo_ocr", input_path="video_jobs/test.mp4")
    db.add(job)
    db.commit()
    (found,) = seeds_client.get("/jobs").json()["jobs"]
    assert found["job_id"] == str(job.job_id)
    assert seeds_client.get(f"/jobs/{job.job_id}").json()["tries"] == []
    assert "video_jobs/" in seeds_client.get("/").text
    given.close()


def test_an_override_without_tables_is_told_to_make_them(seeds_client: TestClient) -> None:
    empty = create_engine("duckdb:///:memory:")
    session = sessionmaker(bind=empty)()
    app.dependency_overrides[get_db] = lambda: session
    answer = seeds_client.get("/jobs")
    assert answer.status_code == 503
    assert "Base.metadata.create_all(engine)" in answer.json()["detail"]
