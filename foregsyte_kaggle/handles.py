"""Inputs by name: which attached input a text means, and a clear word where none or several do.

Nothing here waits or asks the network: an input is attached, or the error says what is.
"""

from __future__ import annotations

import difflib
import importlib.util
import os
from pathlib import Path

from foregsyte_kaggle.errors import SourceError
from foregsyte_kaggle.layouts import FORMS, InputName, model_name
from foregsyte_kaggle.mounts import Mount, attached_inputs, best_fits, moved_to
from foregsyte_kaggle.notices import say
from foregsyte_kaggle.patterns import has_magic
from foregsyte_kaggle.surroundings import input_roots

__all__ = ["parse_handle", "place_today", "resolve_handle", "what_is_attached"]

#: An error lists at most this many attached inputs.
MOST_LISTED = 10
#: How kagglehub gets an input of each kind.
DOWNLOADS = {
    "dataset": "dataset_download",
    "competition": "competition_download",
    "notebook": "notebook_output_download",
    "model": "model_download",
}


def parse_handle(text: str) -> InputName | None:
    """Return the input that a text names; None for what can only be a path.

    >>> parse_handle("competitions/titanic")
    InputName(slug='titanic', kind='competition', owner=None, version=None)
    """
    parts = text.rstrip("/").split("/")
    if text[:1] in ("", "/", ".", "~") or "" in parts or "://" in text or has_magic(text):
        return None
    kind = None
    if parts[0] in FORMS and len(parts) > 1:
        kind = FORMS[parts[0]][0]
        parts = parts[1:]
    if len(parts) in (4, 5) and kind in (None, "model"):
        owner, *model = parts
        return model_name(model, owner)
    if len(parts) == 2 and kind in (None, "dataset", "notebook"):
        return InputName(parts[1], kind, parts[0])
    if len(parts) == 1 and kind in (None, "competition"):
        return InputName(parts[0], kind)
    return None


def resolve_handle(text: str) -> str | None:
    """Return the folder of the attached input that a text names; None if it names none.

    Raises
    ------
    SourceError
        If it names several, or one and a folder or file of that name is here too.
    """
    name = parse_handle(text)
    if name is None:
        return None
    found = _that_fit(name, attached_inputs())
    if not found:
        return None
    here = Path(os.path.realpath(text))
    if os.path.exists(here) and all(here != mount.folder for mount in found):
        choices = [f"'./{text}' ({here})", *(_choice(mount, text) for mount in found)]
    elif len(found) > 1:
        choices = [_choice(mount, text) for mount in found]
    else:
        return str(found[0].folder)
    raise SourceError(
        f"{text!r} can mean {len(choices)} inputs. Write one of: {'; '.join(choices)}."
    )


def place_today(path: str) -> str:
    """Return where a path is: if there is nothing, where its attached input is in today's layout.

    Raises
    ------
    SourceError
        If that can be in several.
    """
    if os.path.exists(path) or not os.path.isabs(path):
        return path
    places = moved_to(Path(os.path.normpath(path)))
    if not places:
        return path
    if len(places) > 1:
        raise SourceError(
            f"there is nothing at {path} today, and it can mean {len(places)} attached inputs. Write one of: "
            f"{'; '.join(str(place) for _, place in places)}."
        )
    mount, place = places[0]
    name = mount.handle
    if name == str(mount.folder):  # whose owner this layout does not show
        name = mount.slug.partition("/")[0]
    say(f"{path} is at {place} today; the name {name!r} finds the input in either layout")
    return str(place)


def what_is_attached(text: str) -> str:
    """Return what to add to the error that there is nothing at a path: what is attached, and how to attach."""
    root = input_roots()[0]
    name = parse_handle(text)
    by_kind = text.partition("/")[0] in FORMS and "/" in text
    means_input = by_kind or Path(text).is_relative_to(root)
    if not root.is_dir():
        if not means_input:
            return ""
        said = f"nothing is attached, since there is no folder {root}"
    elif name is None and not means_input:
        return ""
    else:
        said = _attached(text)
    if by_kind and name is None:
        kind = text.partition("/")[0]
        form = "/".join(f"<{part}>" for part in FORMS[kind][1])
        said += f". The name of an attached input here is {kind}/{form}; which files of it is said by pattern="
    return f"; {said}{_offer(name)}"


def _that_fit(name: InputName, attached: list[Mount]) -> list[Mount]:
    found = best_fits(name, attached)
    if not found and name.kind is None and name.owner is None:
        found = [mount for mount in attached if mount.slug.startswith(f"{name.slug}/")]
    return found


def _attached(text: str) -> str:
    attached = attached_inputs()
    if not attached:
        return f"no input is attached below {input_roots()[0]}"
    handles = [mount.handle for mount in attached]
    shown = ", ".join(map(repr, handles[:MOST_LISTED]))
    if more := len(handles) - MOST_LISTED if len(handles) > MOST_LISTED else 0:
        shown += f" and {more:,} more"
    said = f"attached are {shown}"
    by_words = {words: mount.handle for mount in attached for words in (mount.slug, mount.handle)}
    near = difflib.get_close_matches(text, by_words, 3) or difflib.get_close_matches(
        text.rpartition("/")[2], by_words, 3
    )
    if near and more:
        said += f"; nearest are {', '.join(dict.fromkeys(repr(by_words[words]) for words in near))}"
    return said


def _offer(name: InputName | None) -> str:
    if name is None or (name.owner is None and name.kind is None):
        return ""
    offer = ". Attach it with Add Input in the notebook's editor"
    if importlib.util.find_spec("kagglehub") is None:
        return offer
    wanted = "/".join(part for part in (name.owner, name.slug, name.version) if part)
    call = f"kagglehub.{DOWNLOADS[name.kind or 'dataset']}({wanted!r})"
    return f"{offer}; with internet, {call} gets it too and returns its folder, a source like any other"


def _choice(mount: Mount, text: str) -> str:
    """Return what to write to mean this input: not the text again that can mean several."""
    handle, folder = mount.handle, str(mount.folder)
    return repr(folder) if handle in (text, folder) else f"{handle!r} ({folder})"
