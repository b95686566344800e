"""Where am I: told by variables and by files that a test writes."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

import foregsyte_kaggle as fk
from foregsyte_kaggle import surroundings
from foregsyte_kaggle.errors import InvalidArgumentError
from foregsyte_kaggle.surroundings import internet, limits, machine, report

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without GPUs and with nobody to ask for the internet."""
    for name in ("COLAB_RELEASE_TAG", "TPU_NAME", "ISTPUVM", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    for name in (limits.LIMIT_VARIABLE, *internet.PROXIES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(machine, "GPU_FOLDER", str(tmp_path / "gpus"))
    monkeypatch.setattr(machine, "DEVICE_FOLDER", str(tmp_path / "dev"))
    monkeypatch.setattr(machine, "IMAGE_FOLDER", str(tmp_path / "etc"))
    monkeypatch.setattr(report, "find_internet", lambda: None)
    monkeypatch.setattr(report._seen, "internet", None)
    for folder in ("dev", "etc"):
        (tmp_path / folder).mkdir()
    return tmp_path


def add_gpus(root: Path, *models: str) -> None:
    for number, model in enumerate(models):
        folder = root / "gpus" / f"0000:00:0{number}.0"
        folder.mkdir(parents=True)
        (folder / "information").write_text(f"Model: \t\t {model}\nIRQ:   \t\t 33\n")


@pytest.mark.parametrize(
    ("variables", "kind"),
    [
        ({}, "local"),
        ({"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}, "kaggle-interactive"),
        ({"KAGGLE_KERNEL_RUN_TYPE": "Batch"}, "kaggle-batch"),
        (
            {"KAGGLE_KERNEL_RUN_TYPE": "Batch", "KAGGLE_IS_COMPETITION_RERUN": "1"},
            "kaggle-rerun",
        ),
        ({"COLAB_RELEASE_TAG": "release-colab_20260514"}, "colab"),
    ],
)
def test_kind_of_session_is_told_by_the_variables(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], kind: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert fk.environment().session == kind
    assert surroundings.is_on_kaggle() == kind.startswith("kaggle")


def test_image_is_told_by_its_own_files(root: Path) -> None:
    assert surroundings.image_facts() == (None, None)
    (root / "etc" / "git_commit").write_text("78aaa43\n")
    (root / "etc" / "build_date").write_text("20260812-101112\n")
    seen = fk.environment()
    assert (seen.image_commit, seen.image_date) == ("78aaa43", "20260812-101112")
    assert "78aaa43, built 20260812-101112" in repr(seen)


def test_gpus_are_counted_and_named_without_a_library(root: Path) -> None:
    assert fk.environment().accelerator is None
    add_gpus(root, "Tesla T4", "Tesla T4")
    seen = fk.environment()
    assert (seen.accelerator, seen.gpu_count, seen.gpus) == ("GPU", 2, ("Tesla T4", "Tesla T4"))
    assert "2 GPUs: Tesla T4, Tesla T4" in repr(seen)


def test_hidden_gpus_do_not_count_and_are_not_named(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_gpus(root, "Tesla T4", "Tesla P100")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert (fk.environment().gpu_count, fk.environment().gpus) == (1, ())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert fk.environment().accelerator is None


def test_gpus_of_a_container_are_its_device_files(root: Path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null"):
        (root / "dev" / name).touch()
    assert surroundings.gpu_ids() == ["0", "1"]


@pytest.mark.parametrize("name", ["TPU_NAME", "ISTPUVM"])
def test_tpu_is_told_by_its_variables(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    seen = fk.environment()
    assert (seen.accelerator, seen.session_limit_seconds) == ("TPU", 9 * 3600)


def test_limit_is_what_the_variable_says_wherever_it_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert fk.environment().session_limit_seconds is None
    monkeypatch.setenv(limits.LIMIT_VARIABLE, "8h30m")
    assert fk.environment().session_limit_seconds == 30600
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setenv(limits.LIMIT_VARIABLE, " 7200 ")
    assert fk.environment().session_limit_seconds == 7200
    monkeypatch.setenv(limits.LIMIT_VARIABLE, "")
    assert fk.environment().session_limit_seconds == 12 * 3600


@pytest.mark.parametrize("told", ["soon", "-1", "0", "nan", "inf", "8h30", "\uff11\uff12"])
def test_limit_that_is_no_length_of_time_is_an_error_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    monkeypatch.setenv(limits.LIMIT_VARIABLE, told)
    with pytest.raises(InvalidArgumentError, match=r"FOREGSYTE_SESSION_LIMIT=.*no length of time"):
        fk.environment()
    assert surroundings.session_facts()["session_limit_seconds"] is None


def test_time_left_is_never_negative(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(limits.LIMIT_VARIABLE, "1h")
    monkeypatch.setattr(report, "session_age_seconds", lambda: 600.0)
    assert fk.environment().session_left_seconds == 3000
    assert "10 min spent, 50 min left of 1 h" in repr(fk.environment())
    monkeypatch.setattr(report, "session_age_seconds", lambda: 6000.0)
    assert fk.environment().session_left_seconds == 0
    assert "1 h 40 min spent, 0 s left of 1 h" in repr(fk.environment())


def test_disk_is_that_of_the_working_folder(tmp_path: Path) -> None:
    seen = fk.environment(tmp_path)
    found = os.statvfs(tmp_path)
    assert seen.disk_bytes == found.f_blocks * found.f_frsize
    assert fk.environment(tmp_path / "nowhere").disk_free_bytes is None


def test_what_others_wrote_is_escaped_in_the_table(root: Path) -> None:
    (root / "etc" / "git_commit").write_text("<img src=x onerror=alert(1)>")
    add_gpus(root, "<script>&")
    shown = fk.environment()._repr_html_()
    assert "<img" not in shown
    assert "<script" not in shown
    assert "&lt;script&gt;&amp;" in shown


def test_neither_table_nor_note_holds_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    for name in ("KAGGLE_USER_SECRETS_TOKEN", "KAGGLE_DATA_PROXY_TOKEN", "TPU_NAME"):
        monkeypatch.setenv(name, "s3cret")
    seen = fk.environment()
    noted = json.dumps(surroundings.session_facts())
    assert "s3cret" not in f"{seen!r}{seen._repr_html_()}{noted}{vars(seen)}"


def test_run_notes_whether_there_was_internet_without_asking_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert surroundings.session_facts()["internet"] is None
    monkeypatch.setattr(report, "find_internet", lambda: True)
    assert fk.environment().internet is True
    monkeypatch.setattr(report, "find_internet", lambda: pytest.fail("asked"))
    assert surroundings.session_facts()["internet"] is True


# Internet, of this machine's own ports


def closed_port() -> tuple[str, int]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        address: tuple[str, int] = one.getsockname()
        return address


def test_internet_is_there_when_one_of_the_addresses_answers() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        addresses = [closed_port(), server.getsockname()]
        assert internet.find_internet(addresses, seconds=30) is True


def test_internet_is_not_there_when_all_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    assert internet.find_internet([closed_port()], seconds=30) is False
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    assert internet.find_internet([closed_port()], seconds=30) is None


def test_nobody_who_answers_says_nothing_but_on_kaggle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(internet, "_connect", lambda *_: None)
    assert internet.find_internet() is None
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    assert internet.find_internet() is False


def test_system_without_sockets_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise PermissionError

    monkeypatch.setattr(internet.socket, "socket", refuse)
    assert internet.find_internet() is None
