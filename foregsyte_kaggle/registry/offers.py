"""Pipelines that come with a package: the built-in ones, and those of the entry points of others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec

__all__ = ["BUILTIN", "BUILTIN_ORIGIN", "Offer", "shipped_offers"]

#: The group of entry points in which a package names its pipelines.
GROUP = "foregsyte_kaggle.pipelines"
OWN_NAME = "foregsyte-kaggle"
BUILTIN_ORIGIN = "built-in"
#: What the built-in pipelines import, by the name of the package that brings it.
VIDEO = {"av": "av"}
VISION = {
    "av": "av",
    "cv2": "opencv-python-headless",
    "onnxruntime": "onnxruntime",
    "rapidocr": "rapidocr",
}


@dataclass(frozen=True)
class Offer:
    """A pipeline by where it is, so that listing imports nothing."""

    pipeline_id: str
    place: str
    """``module:attribute``."""
    origin: str
    """``"built-in"``, or the name and version of the package."""
    package: str = OWN_NAME
    extra: str | None = None
    """The extra of the package that it needs."""
    needs: tuple[tuple[str, str], ...] = ()
    """Modules that it imports, each with the package that brings it."""

    def missing(self) -> list[str]:
        """Return what of its needs is not installed."""
        if self.origin == BUILTIN_ORIGIN:
            # By what is imported: several packages bring cv2 and onnxruntime.
            return [name for module, name in self.needs if find_spec(module) is None]
        return [name for _, name in self.needs if not _is_installed(name)]

    def lacks(self) -> str | None:
        """Return what is missing, and the command that installs it; None where nothing is."""
        missing = self.missing()
        if not missing:
            return None
        return f"needs {', '.join(missing)}: pip install '{self.package}[{self.extra}]'"


def _builtin(name: str, place: str, needs: dict[str, str] | None = None) -> Offer:
    extra = "vision" if needs else None
    return Offer(name, place, BUILTIN_ORIGIN, extra=extra, needs=tuple((needs or {}).items()))


BUILTIN = {
    one.pipeline_id: one
    for one in (
        _builtin("file_info", "foregsyte_kaggle.registry.builtin:file_info"),
        _builtin("video_info", "foregsyte_kaggle.registry.builtin:video_info", VIDEO),
        _builtin("yolo_ocr", "foregsyte_kaggle.vision.pipeline:YoloOcr", VISION),
    )
}


@cache
def shipped_offers() -> dict[str, list[Offer]]:
    """Return what the entry points of installed packages offer, by id; clear the cache to look again.

    Nothing is imported. Reading the metadata of 500 packages takes about 50 ms.
    """
    offers: dict[str, list[Offer]] = {}
    for entry in metadata.entry_points(group=GROUP):
        package, version, requires = OWN_NAME, "", None
        if entry.dist is not None:
            package, version = entry.dist.name, entry.dist.version
            requires = entry.dist.requires
        # Not by the entry's own properties, which raise where its value is malformed.
        place, _, behind = entry.value.partition("[")
        extra = behind.partition("]")[0].partition(",")[0].strip() or None
        offer = Offer(
            entry.name,
            place.strip(),
            f"{package} {version}".strip(),
            package,
            extra,
            _needs(requires or (), extra),
        )
        offers.setdefault(entry.name, []).append(offer)
    return offers


def _needs(requires: Iterable[str], extra: str | None) -> tuple[tuple[str, str], ...]:
    """Return the packages that an extra adds on this machine, as their metadata has them."""
    if extra is None:
        return ()
    from packaging.requirements import InvalidRequirement, Requirement

    found = []
    for line in requires:
        try:
            wanted = Requirement(line)
        except InvalidRequirement:  # by a tool from before the rules
            continue
        marker = wanted.marker
        if marker and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""}):
            found.append((wanted.name, wanted.name))
    return tuple(found)


def _is_installed(package: str) -> bool:
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return False
    return True
