"""Pipelines that packages ship by entry points: found by name, loaded when needed, broken ones told."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from foregsyte_kaggle import (
    MissingExtraError,
    PipelineError,
    Workspace,
    jobs_frame,
    pipeline,
    register_jobs,
    results_frame,
    retry_jobs,
    run_jobs,
)
from foregsyte_kaggle.registry import (
    check_installed,
    find_pipeline,
    finding,
    known_pipelines,
    loaded_pipelines,
    offers,
    pipelines,
)
from foregsyte_kaggle.registry.loading import load_offer

pytestmark = pytest.mark.unit

CODE = '''
from foregsyte_kaggle import pipeline

@pipeline("acme_size", batch_size=2, schema={"size": int}, version="3")
def size(paths, unit: int = 1):
    """Sizes of files."""
    return [{"size": path.stat().st_size // unit} for path in paths]

@pipeline("acme_name")
def name(path):
    return {"name": path.name}

class Plain:
    """A class without a decorator."""
    schema = {"letters": int}
    version = "1.2"
    def __init__(self, offset=0):
        self.offset = offset
    def __call__(self, path):
        return {"letters": len(path.name) + self.offset}
'''

Ship = Callable[..., Path]


@pytest.fixture
def ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ship]:
    """Install a package, as pip lays it out."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))
    installed = []

    def install(
        package: str, entries: dict[str, str], code: str = CODE, requires: tuple[str, ...] = ()
    ) -> Path:
        installed.append(package)
        info = site / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", f"Name: {package}", "Version: 1.0"]
        lines += [f"Requires-Dist: {one}" for one in requires]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        named = "\n".join(f"{name} = {place}" for name, place in entries.items())
        (info / "entry_points.txt").write_text(f"[{offers.GROUP}]\n{named}\n")
        (site / f"{package}.py").write_text(code)
        return site

    offers.shipped_offers.cache_clear()
    yield install
    for module in installed:
        sys.modules.pop(module, None)
    for cached in (offers.shipped_offers, load_offer):
        cached.cache_clear()
    finding._loaded.clear()


def test_a_package_adds_pipelines_by_name_and_is_imported_when_one_is_needed(ship: Ship) -> None:
    ship("acme", {"acme_size": "acme:size", "acme_plain": "acme:Plain"})
    assert {"acme_size", "acme_plain"} <= set(known_pipelines())
    assert "acme" not in sys.modules
    found = find_pipeline("acme_size")
    assert (found.origin, found.batch_size, found.version) == ("acme 1.0", 2, "3")
    assert found.schema == {"size": "BIGINT"}
    plain = find_pipeline("acme_plain")
    assert (plain.is_class, plain.version, plain.schema) == (True, "1.2", {"letters": "BIGINT"})


def test_a_package_that_is_installed_meanwhile_is_found(ship: Ship) -> None:
    assert "acme_size" not in known_pipelines()
    ship("acme", {"acme_size": "acme:size"})
    assert find_pipeline("acme_size").origin == "acme 1.0"


def test_it_runs_like_any_other(
    ship: Ship, tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship("acme", {"acme_size": "acme:size"})
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for number in range(3):
        Path(f"in/{number}.txt").write_text("x" * 10 * number)
    register_jobs("in", "acme_size", params={"unit": 5})
    run_jobs("acme_size", executor="inline", progress=False)
    assert results_frame("acme_size")["size"].tolist() == [0, 2, 4]
    assert jobs_frame()["code_version"].tolist() == ["3"] * 3


def test_the_notebooks_own_comes_first_and_loading_another_leaves_it(ship: Ship) -> None:
    ship("acme", {"acme_size": "acme:size", "acme_name": "acme:name"})

    @pipeline("acme_name")
    def own(path: Path) -> None: ...

    assert find_pipeline("acme_size").origin == "acme 1.0"
    assert find_pipeline("acme_name").target is own
    assert pipelines().set_index("pipeline_id").loc["acme_name", "origin"] == __name__


def test_two_entries_of_one_module_are_both_as_declared(ship: Ship) -> None:
    ship("acme", {"acme_size": "acme:size", "acme_name": "acme:name"})
    assert find_pipeline("acme_size").batch_size == 2
    assert find_pipeline("acme_name").target.__name__ == "name"


@pytest.mark.parametrize(
    ("entry", "code", "reason"),
    [
        (
            "broken:it",
            "import no_such_module_here",
            "ModuleNotFoundError: No module named 'no_such_",
        ),
        ("broken:it", "raise SystemExit(3)", "SystemExit: 3"),
        ("broken:it", "1/0", "ZeroDivisionError: division by zero"),
        ("broken:it", "that = 1", "AttributeError: module 'broken' has no attribute 'it'"),
        ("broken:it", "it = 5", "it is a int; expected a function or a class"),
        (
            "broken:it",
            "import foregsyte_kaggle as fk\n@fk.pipeline('other')\ndef it(path): ...",
            "it is declared there as 'other'",
        ),
    ],
)
def test_a_broken_one_is_told_by_name_and_costs_nothing_else(
    ship: Ship, entry: str, code: str, reason: str
) -> None:
    ship("acme", {"acme_size": "acme:size"})
    ship("broken", {"broken_one": entry}, code)
    with pytest.raises(PipelineError) as caught:
        find_pipeline("broken_one")
    message = str(caught.value)
    assert message.startswith(
        "the pipeline 'broken_one' of broken 1.0 cannot be loaded from broken:it ("
    )
    assert reason in message
    assert message.endswith("All others work; ask its authors, or remove it: pip uninstall broken")
    listed = pipelines().set_index("pipeline_id")
    assert listed.loc["broken_one", "problem"] == message
    assert listed.loc["acme_size", "problem"] is None
    assert find_pipeline("acme_size").origin == "acme 1.0"


@pytest.mark.parametrize("place", ["my-acme.pipelines:X", "acme", "", "acme:size extra", "[gpu]"])
def test_a_malformed_entry_breaks_nothing_but_itself(ship: Ship, place: str) -> None:
    ship("acme", {"acme_size": "acme:size", "bad_one": place})
    assert find_pipeline("file_info").origin == "built-in"
    assert find_pipeline("acme_size").origin == "acme 1.0"
    listed = pipelines().set_index("pipeline_id")
    assert listed.loc["bad_one", "problem"].startswith("the pipeline 'bad_one' of acme 1.0 cannot")


def test_an_extra_may_have_a_hyphen(ship: Ship) -> None:
    ship("acme", {"acme_plain": "acme:Plain [gpu-all]"}, requires=("x-y; extra == 'gpu-all'",))
    assert pipelines().set_index("pipeline_id").loc["acme_plain", "extra"] == "gpu-all"


def test_a_name_that_cannot_name_a_table_is_told(ship: Ship) -> None:
    ship("acme", {"Acme-Size": "acme:Plain"})
    problem = pipelines().set_index("pipeline_id").loc["Acme-Size", "problem"]
    assert "its name cannot name a table" in problem


def test_two_of_one_name_is_an_error_that_says_both(ship: Ship) -> None:
    ship("acme", {"size": "acme:size"})
    ship("other", {"size": "other:Plain", "file_info": "other:Plain"})
    with pytest.raises(PipelineError) as caught:
        find_pipeline("size")
    message = str(caught.value)
    assert message.startswith("there are 2 pipelines 'size': of ")
    assert "acme 1.0 (acme:size)" in message
    assert "other 1.0 (other:Plain)" in message
    with pytest.raises(PipelineError, match=r"of built-in \(.*\) and other 1\.0 \(other:Plain\)"):
        find_pipeline("file_info")
    listed = pipelines()
    assert listed[listed.pipeline_id == "size"].problem.tolist() == [message] * 2
    # The line that it advises settles it.
    from other import Plain  # type: ignore[import-not-found]

    pipeline("file_info")(Plain)
    assert find_pipeline("file_info").target is Plain


def test_the_one_that_is_chosen_keeps_what_its_package_declares(ship: Ship) -> None:
    ship("acme", {"acme_size": "acme:size"})
    target = find_pipeline("acme_size").target
    pipeline("acme_size")(target)
    chosen = find_pipeline("acme_size")
    assert (chosen.batch_size, chosen.version, chosen.schema) == (2, "3", {"size": "BIGINT"})
    pipeline("acme_size", batch_size=5)(target)
    assert find_pipeline("acme_size").batch_size == 5


def test_what_an_extra_lacks_is_told_with_the_line_that_installs_it(
    ship: Ship, capsys: pytest.CaptureFixture[str]
) -> None:
    requires = (
        "pandas; extra == 'gpu'",
        "no_such-package>=2,<3 ; extra == 'gpu'",
        "left-out; extra == 'x'",
        "always-there",
        "of-an-old-python; python_version < '3.10' and extra == 'gpu'",
        "of-another-system; extra == 'gpu' and sys_platform == 'win32'",
        "of-no-extra; python_version >= '3.10'",
        "not a requirement; extra ==",
    )
    ship("acme", {"acme_plain": "acme:Plain [gpu]"}, requires=requires)
    row = pipelines().set_index("pipeline_id").loc["acme_plain"]
    said = "needs no_such-package: pip install 'acme[gpu]'"
    assert (row.extra, row.installed, row.problem) == ("gpu", False, said)
    check_installed("acme_plain")
    assert said in capsys.readouterr().out


def test_what_a_broken_one_lacks_is_told(ship: Ship) -> None:
    requires = ("no_such-package; extra == 'gpu'",)
    ship("acme", {"acme_one": "acme:it [gpu]"}, "import no_such_package", requires)
    with pytest.raises(
        PipelineError, match=r"it needs no_such-package: pip install 'acme\[gpu\]'$"
    ):
        find_pipeline("acme_one")


def test_a_built_in_one_that_lacks_its_extra_does_not_start(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = offers.find_spec
    lacking = {"cv2", "rapidocr"}
    monkeypatch.setattr(offers, "find_spec", lambda name: None if name in lacking else real(name))
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("in/a.mp4").touch()
    register_jobs("in", "yolo_ocr")
    register_jobs("in", "file_info")
    with pytest.raises(MissingExtraError) as caught:
        run_jobs("yolo_ocr", executor="inline", progress=False)
    assert str(caught.value) == (
        "the pipeline 'yolo_ocr' needs opencv-python-headless, rapidocr: pip install "
        "'foregsyte-kaggle[vision]'"
    )
    # The others run, and its jobs wait.
    assert run_jobs(executor="inline", progress=False).completed == 1
    assert jobs_frame("yolo_ocr")["status"].tolist() == ["pending"]
    row = pipelines().set_index("pipeline_id").loc["yolo_ocr"]
    assert not row.installed
    assert row.problem.startswith("needs opencv-python-headless, rapidocr")


def test_code_of_a_package_that_was_not_used_yet_makes_nothing_outdated_until_asked(
    ship: Ship, tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("in/a.txt").touch()

    @pipeline("acme_plain", version="1.1")
    def older(path: Path) -> dict[str, int]:
        return {"letters": 1}

    register_jobs("in", "acme_plain")
    run_jobs("acme_plain", executor="inline", progress=False)
    from foregsyte_kaggle.registry import registered

    del registered._registered["acme_plain"]
    ship("acme", {"acme_plain": "acme:Plain"})
    offers.shipped_offers.cache_clear()
    assert not jobs_frame()["outdated"].any()
    assert "acme_plain" not in loaded_pipelines()
    assert retry_jobs(outdated=True) == 1
    assert "acme_plain" in loaded_pipelines()


def test_every_row_of_the_list_has_a_reason_or_none(ship: Ship) -> None:
    ship("acme", {"acme_size": "acme:size"})
    listed = pipelines()
    assert listed.problem.isna().all()
    assert isinstance(listed, pd.DataFrame)
    assert listed.set_index("pipeline_id").loc["acme_size", "params"] == "unit=1"
