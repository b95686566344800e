"""A real server in a thread of this process: beside a run that writes, twice, inside a running loop, until it ends."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pytest

import foregsyte_kaggle as fk
from foregsyte_kaggle.api import Server, routes, serving
from foregsyte_kaggle.ledger import status_counts
from foregsyte_kaggle.workspace import Workspace
from tests.benchmarks.pipelines import five_milliseconds

pytestmark = pytest.mark.integration


def get(server: Server, path: str, host: str | None = None) -> tuple[int, Any]:
    place = urlsplit(server.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
    try:
        connection.request("GET", path, headers={"Host": host} if host else {})
        answer = connection.getresponse()
        text = answer.read().decode()
        is_json = "json" in (answer.getheader("content-type") or "")
        return answer.status, json.loads(text) if is_json else text
    finally:
        connection.close()


def test_requests_beside_a_run_on_two_processes_find_no_lock_and_cost_no_job(
    workspace: Workspace,
) -> None:
    fk.pipeline("measured")(five_milliseconds)
    fk.register_jobs(pd.DataFrame({"id": [f"{n}" for n in range(600)]}), "measured", name="ids")
    server = fk.serve()
    run = fk.run_jobs("measured", workers=2, background=True, progress=False)
    answers: list[tuple[int, Any]] = []
    seen_running = False
    while run.is_running:
        for path in (
            "/health",
            "/jobs?limit=100",
            "/jobs?search=5&status=completed",
            "/",
            "/counts",
        ):
            answers.append(get(server, path))
            time.sleep(0.03)
        health = answers[-5][1]
        seen_running = seen_running or [one["run_id"] for one in health["runs"]] == [
            str(run.run_id)
        ]
    assert run.wait().completed == 600
    assert {status for status, _ in answers} == {200}
    assert seen_running
    assert get(server, "/counts")[1]["completed"] == 600


def test_it_answers_inside_a_running_loop_and_ends_with_the_workspace(workspace: Workspace) -> None:
    async def cell() -> Server:
        return fk.serve()

    server = asyncio.run(cell())
    assert get(server, "/health")[0] == 200
    assert get(server, "/health", host="evil.test")[0] == 421
    workspace.close()
    assert not server.is_running
    with pytest.raises(ConnectionRefusedError):
        get(server, "/health")
    assert "foregsyte-serve" not in [one.name for one in threading.enumerate()]


def test_a_second_call_returns_the_first_unless_it_asks_for_another(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    first = fk.serve()
    assert fk.serve() is first
    assert f"are at {first.url} already" in capsys.readouterr().out
    with pytest.raises(fk.WorkspaceError, match="with other arguments"):
        fk.serve(token="open-sesame")
    first.stop()
    first.stop()
    again = fk.serve(token="open-sesame")
    assert again is not first
    assert "open-sesame" not in repr(again) + capsys.readouterr().out


def test_a_port_that_is_taken_is_an_error_that_says_so(workspace: Workspace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(fk.InvalidArgumentError, match="port=0 takes a free one"):
            fk.serve(port=port)


@pytest.mark.parametrize("name", ["jobs.test:80", "http://jobs.test", "", 7])
def test_a_name_that_no_request_can_have_is_refused(workspace: Workspace, name: Any) -> None:
    with pytest.raises(fk.InvalidArgumentError, match="names without a port"):
        fk.serve(hosts=[name])


def test_further_names_are_answered_and_others_not(workspace: Workspace) -> None:
    server = fk.serve(hosts=["Jobs.Test", "fe80::1"])
    for host in ("jobs.test:8080", "[fe80::1]:80", "localhost"):
        assert get(server, "/health", host=host)[0] == 200
    assert get(server, "/health", host="evil.test")[0] == 421


def test_head_sends_no_body_before_the_next_answer(workspace: Workspace) -> None:
    place = urlsplit(fk.serve().url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
    for method in ("HEAD", "GET", "HEAD"):
        connection.request(method, "/counts")
        answer = connection.getresponse()
        assert answer.status == 200
        assert (b"pending" in answer.read()) is (method == "GET")
    connection.close()


def test_in_the_foreground_it_answers_until_the_notebooks_stop(workspace: Workspace) -> None:
    seen: list[tuple[int, Any]] = []

    def look_and_stop() -> None:
        while not (found := [one for one, _ in serving._servers.values() if one.is_running]):
            time.sleep(0.01)
        seen.append(get(found[0], "/counts"))
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=look_and_stop).start()
        server = fk.serve(background=False)
    finally:
        signal.signal(signal.SIGINT, before)
    assert [status for status, _ in seen] == [200]
    assert not server.is_running
    with pytest.raises(ConnectionRefusedError):
        get(server, "/health")


KERNEL = """
import urllib.request
import foregsyte_kaggle as fk
fk.bootstrap()
server = fk.serve()
print(urllib.request.urlopen(server.url + "/health").status)
"""


def test_it_ends_with_the_kernel_that_leaves_a_ledger_that_opens(
    run_python: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    ended = run_python(KERNEL)
    assert ended.stdout.splitlines()[-1] == "200"
    assert ended.stderr == ""
    assert not (tmp_path / "data" / "foregsyte.duckdb.wal").exists()
    assert fk.bootstrap(tmp_path).ledger_path is not None


def test_a_request_under_way_is_answered_before_the_workspace_closes(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, answers = threading.Event(), []

    def slow(*arguments: Any) -> Any:
        begun.set()
        time.sleep(0.3)
        return status_counts(*arguments)

    monkeypatch.setattr(routes, "status_counts", slow)
    server = fk.serve()
    asking = threading.Thread(target=lambda: answers.append(get(server, "/counts")))
    asking.start()
    assert begun.wait(20)
    workspace.close()
    asking.join(20)
    assert [status for status, _ in answers] == [200]


def test_without_the_extra_it_says_the_line_to_install(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "find_spec", lambda _name: None)
    with pytest.raises(fk.MissingExtraError, match=r"pip install 'foregsyte-kaggle\[api\]'"):
        fk.serve()
