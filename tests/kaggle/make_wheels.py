"""Build the folder of wheels that installs the package on Kaggle without internet; ``make kaggle-wheels``.

It holds the package's own wheel and those that Kaggle's image lacks, pure Python all of them, and a
``dataset-metadata.json`` to upload it with. Whether the image lacks something is told by its pins,
``constraints.txt``, and by what these need in turn.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).resolve().parents[2]
PINS = Path(__file__).with_name("constraints.txt")
FOLDER = ROOT / "dist" / "kaggle-wheels"
NAME = "foregsyte-kaggle"
#: As Kaggle's own command line tool takes it; the placeholder is the one that it writes.
METADATA = {
    "title": "foregsyte-kaggle-wheels",
    "id": "INSERT_USERNAME_HERE/foregsyte-kaggle-wheels",
    "licenses": [{"name": "other"}],  # MIT is none of those that it knows for datasets
}

#: What pip would install, by name: of each its metadata.
Resolved = Mapping[str, Mapping[str, Any]]


def read_pins() -> dict[str, str]:
    """Return the versions in Kaggle's image by name."""
    lines = PINS.read_text(encoding="utf-8").splitlines()
    pinned = [line.split("==") for line in lines if "==" in line and line[0] != "#"]
    return {canonicalize_name(name): version.strip() for name, version in pinned}


def build(folder: Path = FOLDER) -> list[Path]:
    """Make the folder anew; return its wheels."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    pip("wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    (own,) = folder.glob("*.whl")
    pins, resolved = read_pins(), resolve(own)
    lacking = needed([NAME], resolved) - needed(pins, resolved) - {NAME}
    for name in sorted(lacking):
        wanted = f"{name}=={resolved[name]['version']}"
        binary = ("--no-deps", "--only-binary", ":all:")
        pip("download", "--quiet", *binary, "--dest", str(folder), wanted)
    wheels = sorted(folder.glob("*.whl"))
    problems = find_problems(
        {path.name: requirements(path.name, resolved) for path in wheels}, pins
    )
    if problems:
        raise SystemExit("these wheels would not do on Kaggle:\n" + "\n".join(problems))
    text = json.dumps(METADATA, indent=2) + "\n"
    (folder / "dataset-metadata.json").write_text(text, encoding="utf-8")
    return wheels


def resolve(own: Path) -> Resolved:
    """Ask pip what the package and a kernel need, at the pins, on Kaggle's Python; nothing is installed."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.json")
        target = ("--python-version", "3.12", "--only-binary", ":all:", "--target", scratch)
        dry = ("--quiet", "--dry-run", "--ignore-installed", "--report", str(report))
        pip("install", *dry, *target, "--constraint", str(PINS), str(own), "ipykernel")
        found = [item["metadata"] for item in json.loads(report.read_text("utf-8"))["install"]]
    return {canonicalize_name(one["name"]): one for one in found}


def needed(names: Iterable[str], resolved: Resolved) -> set[str]:
    """Return these and all that they need in turn, without extras."""
    found: set[str] = set()
    queue = [canonicalize_name(name) for name in names]
    while queue:
        name = queue.pop()
        if name in resolved and name not in found:
            found.add(name)
            queue += [canonicalize_name(wanted.name) for wanted in _required(resolved[name])]
    return found


def requirements(wheel: str, resolved: Resolved) -> list[Requirement]:
    """Return what a wheel needs, by its file's name."""
    return _required(resolved[parse_wheel_filename(wheel)[0]])


def _required(metadata: Mapping[str, Any]) -> list[Requirement]:
    all_of_it = map(Requirement, metadata.get("requires_dist", ()))
    return [one for one in all_of_it if one.marker is None or one.marker.evaluate({"extra": ""})]


def find_problems(
    wheels: Mapping[str, Iterable[Requirement]], pins: Mapping[str, str]
) -> list[str]:
    """Say which wheels, with what each needs, are not pure Python or would move what the image has."""
    problems = []
    for wheel, wanted in wheels.items():
        if not wheel.endswith("-py3-none-any.whl"):
            problems.append(f"{wheel} is not pure Python (py3-none-any)")
        name = parse_wheel_filename(wheel)[0]
        if name in pins:
            problems.append(f"{wheel} is in Kaggle's image, as {pins[name]}")
        for one in wanted:
            pin = pins.get(canonicalize_name(one.name))
            if pin is not None and not one.specifier.contains(pin):
                problems.append(f"{wheel} wants {one}, but Kaggle's image has {pin}")
    return problems


def pip(*arguments: str) -> None:
    """Run pip of this Python; end with what it said if it fails."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"pip {arguments[0]} failed:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    for path in build():
        print(path.relative_to(ROOT))
    print(
        f"Put your user name into {FOLDER.relative_to(ROOT)}/dataset-metadata.json and upload the folder."
    )
