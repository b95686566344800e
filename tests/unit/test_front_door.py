"""The names that users import."""

from __future__ import annotations

import subprocess
import sys

import pytest

import foregsyte_kaggle as fk

CALL_ALL = """
import importlib, pkgutil
import foregsyte_kaggle as fk

for module in pkgutil.walk_packages(fk.__path__, "foregsyte_kaggle."):
    if not module.name.startswith("foregsyte_kaggle._migrations"):
        importlib.import_module(module.name)
modules = [name for name in fk.__all__ if type(getattr(fk, name)).__name__ == "module"]
assert not modules, f"submodules hide the public names {modules}"
print(len(fk.pipelines()))
"""


@pytest.mark.unit
def test_no_submodule_hides_a_public_name() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CALL_ALL], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 2


@pytest.mark.unit
def test_every_public_name_is_there_and_documented() -> None:
    for name in fk.__all__:
        assert getattr(fk, name).__doc__ or name == "SessionLocal", name


@pytest.mark.unit
def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        fk.no_such_name  # noqa: B018
