"""Which processes descend from one, wherever they moved: into a session of their own, too."""

from __future__ import annotations

__all__ = ["descendants"]


def descendants(pid: int) -> list[int]:
    """Return the children of a process, and theirs; none where there is no ``/proc``.

    Those whose parent ended before are missed, since they have another parent now.
    """
    import os  # here, since the guard runs the text of this function

    try:
        numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []
    children: dict[int, list[int]] = {}
    for number in numbers:
        try:
            with open(f"/proc/{number}/stat", "rb") as stat:
                parent = int(stat.read().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):  # it ended meanwhile
            continue
        children.setdefault(parent, []).append(number)
    found = list(children.get(pid, ()))
    for child in found:  # grows meanwhile
        found += children.get(child, ())
    return found
