"""Whether a JSON value fits an annotation."""

from __future__ import annotations

import types
from collections.abc import Collection, Iterable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin

__all__ = ["fits", "is_by_value"]

_SCALARS: dict[Any, tuple[type, ...]] = {
    None: (type(None),),
    type(None): (type(None),),
    bool: (bool,),
    int: (int,),  # bool is an int, as for type checkers
    float: (int, float),
    complex: (int, float),
    str: (str,),
}
_LISTS = (list, Sequence, MutableSequence, Collection, Iterable)
_DICTS = (dict, Mapping, MutableMapping)


def fits(value: Any, annotation: Any) -> bool:
    """Return whether a value, as JSON brings it, can be meant by an annotation; True where nobody can tell.

    Parameters
    ----------
    value
        None, a bool, an int, a float, a text, a list or a dict.
    annotation
        Python's own types, Optional, Union, Literal, and lists and dicts of these are looked at.
    """
    annotation = _plain(annotation)
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return any(value == one and type(value) is type(one) for one in inner)
    if origin in (Union, types.UnionType):
        return any(fits(value, one) for one in inner)
    kind = origin or annotation
    try:
        scalars = _SCALARS.get(kind)
    except TypeError:  # it has no hash
        return True
    if scalars is not None:
        return isinstance(value, scalars)
    if kind in (Collection, Iterable) and isinstance(value, dict):
        return True
    if kind in (tuple, *_LISTS):
        return isinstance(value, list) and _items_fit(value, kind, inner)
    if kind in _DICTS:
        return isinstance(value, dict) and all(
            fits(one, inner[-1]) for one in value.values() if inner
        )
    return True


def is_by_value(annotation: Any) -> bool:
    """Return whether two values of one type can differ in whether they fit."""
    annotation = _plain(annotation)
    return get_origin(annotation) is Literal or any(map(is_by_value, get_args(annotation)))


def _items_fit(value: list[Any], kind: Any, inner: tuple[Any, ...]) -> bool:
    if kind is tuple and inner and inner[-1] is not Ellipsis:
        return len(value) == len(inner) and all(map(fits, value, inner))
    return not inner or all(fits(one, inner[0]) for one in value)


def _plain(annotation: Any) -> Any:
    """Return what a NewType, an alias or an Annotated stands for."""
    while True:
        if isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif type(annotation).__name__ == "TypeAliasType":  # new in Python 3.12
            annotation = annotation.__value__
        else:
            return annotation
