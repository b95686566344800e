"""A fingerprint of a pipeline's code: the same in every session for the same text."""

from __future__ import annotations

import functools
import hashlib
import inspect
import textwrap
from collections.abc import Callable
from types import CodeType
from typing import Any

__all__ = ["fingerprint"]


def fingerprint(target: Callable[..., Any]) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a callable's source text.

    Of what has no source, such as functions made by ``exec``, the compiled code stands for it.
    """
    text = _text(target)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]


def _text(target: Any) -> str:
    if isinstance(target, functools.partial):
        return f"{_text(target.func)}\n{_constant(target.args)} {sorted(target.keywords)}"
    if not inspect.isclass(target) and not inspect.isroutine(target):
        return _text(type(target))
    if inspect.isclass(target):
        return _class(target)
    try:
        return textwrap.dedent(inspect.getsource(target))
    except (OSError, TypeError):
        pass
    code = getattr(inspect.unwrap(target), "__code__", None)
    if code is not None:
        return _code(code)
    return f"{getattr(target, '__module__', '')}.{getattr(target, '__qualname__', target)}"


def _class(target: type) -> str:
    # Member by member: of a class in a notebook's cell Python finds no source, or the wrong one.
    own = [one for one in target.__mro__ if one.__module__ == target.__module__]
    return "\n".join(
        text for one in own for text in (one.__qualname__, *map(_member, sorted(vars(one).items())))
    )


def _member(item: tuple[str, Any]) -> str:
    name, member = item
    inner = [member]
    if isinstance(member, (staticmethod, classmethod)):
        inner = [member.__func__]
    elif isinstance(member, property):
        inner = [member.fget, member.fset, member.fdel]
    texts = [
        _text(one)
        for one in inner
        if inspect.isfunction(one) or (inspect.isclass(one) and not name.startswith("__"))
    ]
    if texts or name.startswith("__"):
        return "\n".join(texts)
    return f"{name} = {_constant(member)}"


def _code(code: CodeType) -> str:
    parts = [code.co_name, code.co_code.hex(), *map(repr, (code.co_names, code.co_varnames))]
    return "\n".join([*parts, *map(_constant, code.co_consts)])


def _constant(value: Any) -> str:
    """Return a constant as text that is the same in every session, unlike that of sets and objects."""
    if isinstance(value, CodeType):
        return _code(value)
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(_constant, value))})"
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(sorted(map(_constant, value)))}}}"
    if value is None or value is ... or isinstance(value, (bool, int, float, complex, str, bytes)):
        return repr(value)
    return type(value).__qualname__
