"""Attached inputs: found in either layout, by name, and never a wrong one in silence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from foregsyte_kaggle import handles, surroundings
from foregsyte_kaggle.errors import SourceError
from foregsyte_kaggle.handles import parse_handle, resolve_handle
from foregsyte_kaggle.layouts import InputName
from foregsyte_kaggle.leftovers import not_inputs
from foregsyte_kaggle.mounts import attached_inputs, mount_of
from foregsyte_kaggle.sources import Inputs, resolve_inputs

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that inputs are attached below; the current folder is another one."""
    folder = tmp_path / "input"
    folder.mkdir()
    (tmp_path / "working").mkdir()
    monkeypatch.chdir(tmp_path / "working")
    monkeypatch.setenv("KAGGLE_CACHE_MOUNT_FOLDER", str(folder))
    monkeypatch.setattr(handles.importlib.util, "find_spec", lambda _name: None)
    return folder


def attach(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"x")


def refusal(source: object) -> str:
    with pytest.raises(SourceError) as caught:
        resolve_inputs(source)  # type: ignore[arg-type]
    return str(caught.value)


def held(inputs: Inputs) -> tuple[str, str, str | None, list[str]]:
    return inputs.name, inputs.kind, inputs.owner, inputs.paths.to_pylist()


# What is attached


def test_inputs_are_looked_for_where_kagglehub_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_CACHE_MOUNT_FOLDER", "/elsewhere")
    assert surroundings.input_roots() == (Path("/elsewhere"), Path("/kaggle/input"))
    monkeypatch.delenv("KAGGLE_CACHE_MOUNT_FOLDER")
    assert surroundings.input_roots() == (Path("/kaggle/input"),)


LAYOUTS = [
    ("datasets/ann/clips", "clips", "dataset", "ann", "datasets/ann/clips"),
    ("competitions/titanic", "titanic", "competition", None, "competitions/titanic"),
    ("notebooks/ann/first-run", "first-run", "notebook", "ann", "notebooks/ann/first-run"),
    (
        "models/google/gemma/pyTorch/2b/3",
        "gemma/pytorch/2b",
        "model",
        "google",
        "models/google/gemma/pytorch/2b/3",
    ),
    ("clips", "clips", None, None, None),
    ("gemma/gemma.cpp/2b/12", "gemma/gemma.cpp/2b", "model", None, None),
]


@pytest.mark.parametrize(
    ("place", "slug", "kind", "owner", "handle"), LAYOUTS, ids=[row[0] for row in LAYOUTS]
)
def test_place_tells_what_an_input_is(
    root: Path, place: str, slug: str, kind: str | None, owner: str | None, handle: str | None
) -> None:
    attach(root, f"{place}/sub/a.mp4")
    (mount,) = attached_inputs()
    assert (mount.slug, mount.kind, mount.owner) == (slug, kind, owner)
    assert mount.folder == root / place
    assert mount.handle == (handle or str(root / place))
    assert mount_of(root / place) == mount_of(root / place / "sub") == mount
    assert resolve_handle(mount.handle) == (str(root / place) if handle else None)


def test_mixed_layouts_are_listed_in_order(root: Path) -> None:
    attach(root, "zebra/a", "datasets/bob/b/a", "datasets/ann/z/a", "gemma/keras/2b/1/a", "apes/a")
    assert [str(mount.folder.relative_to(root)) for mount in attached_inputs()] == [
        "apes",
        "datasets/ann/z",
        "datasets/bob/b",
        "gemma/keras/2b/1",
        "zebra",
    ]


def test_dataset_with_folders_of_digits_is_no_model(root: Path) -> None:
    attach(root, "digits/train/images/7/a.png", "mixed/keras/2b/1/a", "mixed/readme.md")
    assert [(mount.slug, mount.kind, mount.folder) for mount in attached_inputs()] == [
        ("digits", None, root / "digits"),
        ("mixed", None, root / "mixed"),
    ]


def test_input_with_two_places_is_one(root: Path) -> None:
    attach(root, "datasets/ann/clips/a")
    (root / "clips").symlink_to(root / "datasets/ann/clips")
    assert [mount.handle for mount in attached_inputs()] == ["datasets/ann/clips"]
    assert resolve_handle("clips") == str(root / "datasets/ann/clips")


def test_nothing_is_attached_without_the_folder(root: Path) -> None:
    root.rmdir()
    assert attached_inputs() == []
    assert mount_of(root / "clips" / "a") is not None, "a path tells, also of what is gone"
    assert mount_of(Path("clips")) is None


def test_files_hidden_folders_and_undecodable_names_do_not_disturb(root: Path) -> None:
    odd = os.fsdecode(b"caf\xe9")
    attach(root, "notes.txt", ".hidden/a", "datasets/readme.txt", f"{odd}/a", f"datasets/{odd}/b/c")
    assert [(mount.slug, mount.owner) for mount in attached_inputs()] == [(odd, None), ("b", odd)]
    assert held(resolve_inputs(odd)) == ("percent-encoded:caf%E9", "mount", None, ["a"])
    assert "attached are" in refusal("nothing-like-it")


# Names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ann/clips", InputName("clips", None, "ann")),
        ("datasets/ann/clips/", InputName("clips", "dataset", "ann")),
        ("notebooks/ann/run", InputName("run", "notebook", "ann")),
        ("competitions/titanic", InputName("titanic", "competition")),
        ("titanic", InputName("titanic")),
        ("models/g/gemma/pyTorch/2b", InputName("gemma/pytorch/2b", "model", "g")),
        ("g/gemma/keras/2b/4", InputName("gemma/keras/2b", "model", "g", "4")),
        *((text, None) for text in ("/ann/clips", "./ann/clips", "~/clips", "", "a//b", "../a")),
        *((text, None) for text in ("s3://ann/clips", "ann/*.mp4", "datasets/a/b/c", "a/b/c")),
        *((text, None) for text in ("datasets/ann", "competitions/a/b", "models/a/b")),
    ],
)
def test_text_that_can_name_an_input(text: str, name: InputName | None) -> None:
    assert parse_handle(text) == name


@pytest.mark.parametrize("place", ["datasets/ann/clips", "clips"])
@pytest.mark.parametrize("text", ["ann/clips", "datasets/ann/clips", "clips", "Ann/Clips"])
def test_dataset_is_found_by_each_of_its_names(root: Path, place: str, text: str) -> None:
    attach(root, f"{place}/a.mp4", "other/a")
    kind, owner = ("dataset", "ann") if "/" in place else ("mount", None)
    assert held(resolve_inputs(text)) == ("clips", kind, owner, ["a.mp4"])


@pytest.mark.parametrize("place", ["competitions/titanic", "titanic"])
@pytest.mark.parametrize("text", ["competitions/titanic", "titanic"])
def test_competition_is_found_by_each_of_its_names(root: Path, place: str, text: str) -> None:
    attach(root, f"{place}/train.csv", "datasets/ann/other/a")
    assert resolve_handle(text) == str(root / place)


MODEL = "gemma/pytorch/2b"


@pytest.mark.parametrize("place", [f"models/google/{MODEL}/3", f"{MODEL}/3"])
@pytest.mark.parametrize(
    "text", ["models/google/gemma/pyTorch/2b", f"models/google/{MODEL}/3", "gemma"]
)
def test_model_has_its_name_without_owner_and_version(root: Path, place: str, text: str) -> None:
    attach(root, f"{place}/weights.bin")
    found = resolve_inputs(text)
    assert (found.name, found.kind, found.root) == (MODEL, "model", root / place)


def test_version_of_a_model_tells_two_apart(root: Path) -> None:
    attach(root, f"models/google/{MODEL}/1/a", f"models/google/{MODEL}/2/a")
    assert resolve_handle(f"models/google/{MODEL}/2") == str(root / f"models/google/{MODEL}/2")
    assert resolve_handle(f"models/google/{MODEL}/3") is None
    assert refusal("gemma") == (
        "'gemma' can mean 2 inputs. Write one of: "
        f"'models/google/{MODEL}/1' ({root}/models/google/{MODEL}/1); "
        f"'models/google/{MODEL}/2' ({root}/models/google/{MODEL}/2)."
    )


def test_two_candidates_are_an_error_that_tells_them_apart(root: Path) -> None:
    attach(root, "datasets/ann/clips/a", "notebooks/ann/clips/a", "datasets/bob/clips/a", "clips/a")
    assert refusal("ann/clips") == (
        "'ann/clips' can mean 2 inputs. Write one of: "
        f"'datasets/ann/clips' ({root}/datasets/ann/clips); "
        f"'notebooks/ann/clips' ({root}/notebooks/ann/clips)."
    )
    assert refusal("clips").startswith("'clips' can mean 4 inputs. Write one of: ")
    assert repr(str(root / "clips")) in refusal("clips")


def test_input_whose_owner_is_known_goes_before_one_that_hides_it(root: Path) -> None:
    attach(root, "datasets/ann/clips/a", "clips/b")
    assert resolve_handle("ann/clips") == str(root / "datasets/ann/clips")
    assert resolve_handle("bob/clips") == str(root / "clips")


def test_text_that_means_a_folder_here_and_an_input_is_an_error(root: Path) -> None:
    attach(root, "datasets/ann/clips/a")
    attach(Path.cwd(), "clips/b", "ann/clips/c", "datasets/ann/clips/d")
    here = Path.cwd()
    assert refusal("clips") == (
        f"'clips' can mean 2 inputs. Write one of: './clips' ({here}/clips); "
        f"'datasets/ann/clips' ({root}/datasets/ann/clips)."
    )
    assert refusal("datasets/ann/clips") == (
        "'datasets/ann/clips' can mean 2 inputs. Write one of: './datasets/ann/clips' "
        f"({here}/datasets/ann/clips); '{root}/datasets/ann/clips'."
    )
    assert held(resolve_inputs("./clips"))[1:] == ("folder", None, ["b"])
    assert held(resolve_inputs(Path("ann/clips")))[1:] == ("folder", None, ["c"])


def test_folder_here_is_a_folder_when_no_such_input_is_attached(root: Path) -> None:
    attach(root, "datasets/ann/other/a")
    attach(Path.cwd(), "ann/clips/c")
    assert held(resolve_inputs("ann/clips")) == ("clips", "folder", None, ["c"])


def test_relative_path_to_an_input_is_that_input(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attach(root, "datasets/ann/clips/a")
    monkeypatch.chdir(root)
    assert held(resolve_inputs("datasets/ann/clips")) == ("clips", "dataset", "ann", ["a"])


# Not attached


def test_input_that_is_not_attached_says_what_is(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attach(root, "datasets/ann/clips/a", "songs/a")
    text = refusal("ann/clisp")
    assert text.startswith("there is nothing at ann/clisp; ")
    assert text.endswith(
        f"; attached are 'datasets/ann/clips', '{root}/songs'. Attach it with Add Input in the notebook's "
        "editor"
    )
    monkeypatch.setattr(handles.importlib.util, "find_spec", lambda name: name)
    assert refusal("ann/clisp").endswith(
        "; with internet, kagglehub.dataset_download('ann/clisp') gets it too and returns its folder, a "
        "source like any other"
    )
    assert "kagglehub.competition_download('titanic')" in refusal("competitions/titanic")
    assert "kagglehub.notebook_output_download('ann/run')" in refusal("notebooks/ann/run")
    assert "kagglehub.model_download('g/gemma/keras/2b/4')" in refusal("models/g/gemma/keras/2b/4")
    assert "kagglehub" not in refusal("clisp"), "it takes an owner to download"


def test_long_list_of_what_is_attached_is_cut_and_names_the_nearest(root: Path) -> None:
    attach(root, *(f"datasets/ann/set-{number:02}/a" for number in range(40)))
    attach(root, "datasets/bob/match-videos/a")
    text = refusal("bob/match-video")
    assert "'datasets/ann/set-09' and 31 more; nearest are 'datasets/bob/match-videos'" in text
    assert "set-10" not in text


def test_nothing_attached_says_so(root: Path) -> None:
    assert f"; no input is attached below {root}" in refusal("ann/clips")
    root.rmdir()
    assert f"; nothing is attached, since there is no folder {root}" in refusal(
        "datasets/ann/clips"
    )
    assert refusal("clisp/x").endswith(" holds nothing"), "without inputs, a text is a path"


def test_name_of_another_form_says_the_form(root: Path) -> None:
    attach(root, "datasets/ann/clips/train/a")
    text = refusal("datasets/ann/clips/train")
    assert text.endswith(
        ". The name of an attached input here is datasets/<owner>/<slug>; which files of it is said by "
        "pattern="
    )


def test_input_that_is_attached_late_is_found_then(root: Path) -> None:
    assert "no input is attached" in refusal("ann/clips")
    attach(root, "datasets/ann/clips/a")
    assert held(resolve_inputs("ann/clips"))[3] == ["a"]


# Paths


@pytest.mark.parametrize("place", ["datasets/ann/clips", "clips"])
def test_path_in_an_input_counts_from_the_input(root: Path, place: str) -> None:
    attach(root, f"{place}/train/one/a.mp4", f"{place}/train/b.mp4", f"{place}/c.mp4")
    folder = root / place
    both = ["train/b.mp4", "train/one/a.mp4"]
    for source, expected in [
        (folder, ["c.mp4", *both]),
        (folder / "train", both),
        (str(folder / "train" / "*.mp4"), both[:1]),
        ([folder / "train" / "one" / "a.mp4"], both[1:]),
    ]:
        found = resolve_inputs(source)
        assert (found.name, found.root, found.paths.to_pylist()) == ("clips", folder, expected)
    folders = resolve_inputs(folder / "train", unit="folder")
    assert folders.paths.to_pylist() == ["train", "train/one"]


def test_table_in_an_input_counts_from_the_input(root: Path) -> None:
    attach(root, "datasets/ann/clips/meta/clips/a.mp4")
    table = root / "datasets/ann/clips/meta/train.csv"
    table.write_text("path,label\nclips/a.mp4,x\n")
    assert held(resolve_inputs(table)) == ("clips", "dataset", "ann", ["meta/clips/a.mp4"])


def test_path_with_a_name_of_its_own_counts_from_where_it_was(root: Path) -> None:
    attach(root, "datasets/ann/clips/train/a.mp4")
    found = resolve_inputs(root / "datasets/ann/clips/train", name="train")
    assert held(found) == ("train", "dataset", "ann", ["a.mp4"])
    assert found.root == root / "datasets/ann/clips/train"


@pytest.mark.parametrize(
    ("old", "new"),
    [("clips", "datasets/ann/clips"), ("datasets/ann/clips", "clips")],
)
def test_path_of_the_other_layout_is_found_and_said(
    root: Path, capsys: pytest.CaptureFixture[str], old: str, new: str
) -> None:
    attach(root, f"{new}/train/a.mp4", f"{new}/table.csv", f"{new}/b.txt")
    (root / new / "table.csv").write_text("path\ntrain/a.mp4\n")
    for source in [
        f"{root}/{old}/train",
        root / old / "train",
        f"{root}/{old}/train/*.mp4",
        [f"{root}/{old}/train/a.mp4"],
        f"{root}/{old}/table.csv",
    ]:
        found = resolve_inputs(source)
        assert (found.name, found.root) == ("clips", root / new)
        assert found.paths.to_pylist() == ["train/a.mp4"]
        assert f"{root}/{new}" in capsys.readouterr().out


def test_usual_path_is_found_where_inputs_are_elsewhere(root: Path) -> None:
    attach(root, "clips/a")
    assert held(resolve_inputs("/kaggle/input/datasets/ann/clips"))[3] == ["a"]


def test_path_of_the_other_layout_that_may_be_two_is_an_error(root: Path) -> None:
    attach(root, "datasets/ann/clips/a", "competitions/clips/a")
    text = refusal(f"{root}/clips/a")
    assert "it can mean 2 attached inputs" in text
    assert f"{root}/competitions/clips/a; {root}/datasets/ann/clips/a." in text
    assert "attached are" in refusal(f"{root}/clips/no-such-file")


def test_path_with_a_version_is_not_found_in_another(root: Path) -> None:
    attach(root, f"models/google/{MODEL}/2/a")
    assert f"attached are 'models/google/{MODEL}/2'" in refusal(root / MODEL / "1")
    assert held(resolve_inputs(root / MODEL / "2"))[:3] == (MODEL, "model", "google")
    assert "is above attached inputs" in refusal(root / "models/google/gemma")


def test_folder_above_several_inputs_has_no_lasting_name(root: Path) -> None:
    attach(root, "datasets/ann/clips/a", "datasets/ann/songs/a")
    for source in (root, root / "datasets" / "ann", list(root.rglob("a"))):
        assert "is above attached inputs" in refusal(source)
    assert len(resolve_inputs(root, name="all").paths) == 2


# What is no input

KAGGLES = (
    "__notebook__.ipynb",
    "__results__.html",
    "__results___files/a.png",
    "__output__.json",
    "custom.css",
    ".virtual_documents/__notebook_source__.ipynb",
)
OURS = (
    "data/foregsyte.duckdb",
    "data/foregsyte.duckdb.wal",
    "data/outputs/ocr/a.txt",
    "data/outputs/packed-1.zip",
    "data/backups/b",
    "data/.resuming/foregsyte.duckdb",
)


@pytest.mark.parametrize("place", ["notebooks/ann/run", "run"])
def test_what_kaggle_and_a_ledger_leave_in_an_output_is_no_input(root: Path, place: str) -> None:
    attach(root, *(f"{place}/{name}" for name in (*KAGGLES, *OURS)))
    text = refusal("ann/run")
    assert "is left out, unless the pattern begins with it, such as 'data/outputs/**/*'" in text
    attach(root, f"{place}/frames/a.png", f"{place}/data/b.csv", f"{place}/frames/custom.css")
    assert resolve_inputs("ann/run").paths.to_pylist() == [
        "data/b.csv",
        "frames/a.png",
        "frames/custom.css",
    ]


@pytest.mark.parametrize("script", ["__script__.py", "__script__.R"])
def test_output_of_a_script_is_known_by_the_script(root: Path, script: str) -> None:
    attach(root, f"run/{script}", "run/custom.css", "run/a")
    assert resolve_inputs("run").paths.to_pylist() == ["a"]


def test_other_inputs_keep_files_of_such_names(root: Path) -> None:
    attach(root, "datasets/ann/pages/custom.css", "datasets/ann/pages/data/outputs/a")
    assert resolve_inputs("ann/pages").paths.to_pylist() == ["custom.css", "data/outputs/a"]


def test_pattern_or_path_that_names_what_is_left_out_gets_it(root: Path) -> None:
    attach(root, *(f"run/{name}" for name in (*KAGGLES, *OURS)), "run/data/b.csv")
    for pattern, expected in [
        ("data/outputs/**/*.txt", "data/outputs/ocr/a.txt"),
        ("data/outputs/*", "data/outputs/packed-1.zip"),
        ("data/outputs/ocr/a.txt", "data/outputs/ocr/a.txt"),
        ("__results__.html", "__results__.html"),
        ("__results___files/*", "__results___files/a.png"),
    ]:
        assert resolve_inputs("run", pattern=pattern).paths.to_pylist() == [expected]
    assert resolve_inputs("run", pattern="data/**/*").paths.to_pylist() == ["data/b.csv"]
    below = resolve_inputs(root / "run" / "data" / "outputs")
    assert below.paths.to_pylist() == ["data/outputs/ocr/a.txt", "data/outputs/packed-1.zip"]
    assert resolve_inputs([root / "run" / "custom.css"]).paths.to_pylist() == ["custom.css"]


def test_nothing_is_left_out_where_no_sign_is(root: Path) -> None:
    attach(root, "clips/a")
    assert not_inputs(root / "clips", root / "clips", "**/*") == []
