"""A fingerprint of a pipeline's code: the same in every session for the same text."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import textwrap
from collections.abc import Callable
from types import CodeType
from typing import Any

__all__ = ["fingerprint"]

_DECORATORS = {"pipeline", "fk.pipeline", "foregsyte_kaggle.pipeline"}


def fingerprint(target: Callable[..., Any]) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a callable's source text.

    Of what has no source, such as functions made by ``exec``, the compiled code stands for it.

    With it count the values that it holds, in its closure or as arguments of a ``functools.partial``:
    constants, containers of them, and functions with their own text. Anything else that it holds counts
    by its type only. Comments, blank lines and decorators count, as part of the text; the decorator
    ``@pipeline(...)`` does not. Functions that it finds by name when it is called are not followed.
    """
    text = _Reader().text(target)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]


class _Reader:
    """Turns code and values into text that is the same in every session."""

    def __init__(self) -> None:
        self._inside: set[int] = set()  # what is being read: a function may hold itself

    def text(self, target: Any) -> str:
        if id(target) in self._inside:
            return "..."
        self._inside.add(id(target))
        try:
            return self._text(target)
        finally:
            self._inside.remove(id(target))

    def _text(self, target: Any) -> str:
        if isinstance(target, functools.partial):
            held = self._constant(target.args), self._constant(target.keywords)
            return "\n".join((self.text(target.func), *held))
        if inspect.isclass(target):
            return self._class(target)
        if not inspect.isroutine(target):
            return self.text(type(target))
        function = inspect.unwrap(target)
        code = getattr(function, "__code__", None)
        text = _source(target) or (self._code(code) if code is not None else _name(target))
        return "\n".join((text, *self._closure(function)))

    def _closure(self, function: Any) -> list[str]:
        texts = []
        for cell in getattr(function, "__closure__", None) or ():
            try:
                texts.append(self._constant(cell.cell_contents))
            except ValueError:  # its variable has no value yet
                texts.append("")
        return texts

    def _class(self, target: type) -> str:
        # Member by member: of a class in a notebook's cell Python finds no source, or the wrong one.
        own = [one for one in target.__mro__ if one.__module__ == target.__module__]
        return "\n".join(
            text
            for one in own
            for text in (one.__qualname__, *map(self._member, sorted(vars(one).items())))
        )

    def _member(self, item: tuple[str, Any]) -> str:
        name, member = item
        inner = [member]
        if isinstance(member, (staticmethod, classmethod)):
            inner = [member.__func__]
        elif isinstance(member, property):
            inner = [member.fget, member.fset, member.fdel]
        texts = [
            self.text(one)
            for one in inner
            if inspect.isfunction(one) or (inspect.isclass(one) and not name.startswith("__"))
        ]
        if texts or name.startswith("__"):
            return "\n".join(texts)
        return f"{name} = {self._constant(member)}"

    def _code(self, code: CodeType) -> str:
        parts = [code.co_name, code.co_code.hex(), *map(repr, (code.co_names, code.co_varnames))]
        return "\n".join([*parts, *map(self._constant, code.co_consts)])

    def _constant(self, value: Any) -> str:
        if (
            value is None
            or value is ...
            or isinstance(value, (bool, int, float, complex, str, bytes))
        ):
            return repr(value)
        if isinstance(value, CodeType):
            return self._code(value)
        if isinstance(value, functools.partial) or inspect.isroutine(value):
            return self.text(value)
        if isinstance(value, (tuple, list, set, frozenset, dict)) and id(value) not in self._inside:
            self._inside.add(id(value))
            try:
                return self._container(value)
            finally:
                self._inside.remove(id(value))
        return type(value).__qualname__

    def _container(self, value: Any) -> str:
        if isinstance(value, (tuple, list)):
            return f"({', '.join(map(self._constant, value))})"
        # Sorted by their text, since sets come in another order in every session.
        items = value.items() if isinstance(value, dict) else value
        return f"{{{', '.join(sorted(map(self._constant, items)))}}}"


def _source(target: Any) -> str | None:
    """Return the source without the decorator that registers it, or None where there is none."""
    try:
        text = textwrap.dedent(inspect.getsource(target))
    except (OSError, TypeError):
        return None
    try:
        defined = ast.parse(text).body[0]
    except (SyntaxError, IndexError):  # such as a lambda in the middle of a call
        return text
    dropped = {
        number
        for one in getattr(defined, "decorator_list", ())
        if isinstance(one, ast.Call) and ast.unparse(one.func) in _DECORATORS
        for number in range(one.lineno, (one.end_lineno or one.lineno) + 1)
    }
    lines = enumerate(text.split("\n"), 1)
    return "\n".join(line for number, line in lines if number not in dropped)


def _name(target: Any) -> str:
    return f"{getattr(target, '__module__', '')}.{getattr(target, '__qualname__', target)}"
