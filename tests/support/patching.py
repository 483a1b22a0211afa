"""Functions of the program, replaced from outside by their names: the program itself has no hooks for tests."""

import sys
from collections.abc import Callable
from importlib import import_module
from types import FunctionType
from typing import Any

Function = Callable[..., Any]


def find(path: str) -> tuple[Any, str, Function]:
    """Return the owner of a function, its name there, and the function.

    Args:
        path: ``package.module:function`` or ``package.module:Class.method``.

    Raises:
        LookupError: there is no such function, or it is no plain one (a class or static method, C code).
    """
    module, _, qualname = path.partition(":")
    *outer, name = qualname.split(".")
    try:
        owner = import_module(module)
        for each in outer:
            owner = getattr(owner, each)
        found = vars(owner)[name]
    except (ImportError, AttributeError, KeyError) as error:
        raise LookupError(f"{path} is not there any more: {error!r}") from error
    if not isinstance(found, FunctionType):
        raise LookupError(f"{path} is no function that could be replaced, but {found!r}")  # noqa: TRY004 - it is not found
    return owner, name, found


def replace(path: str, make: Callable[[Function], Function]) -> None:
    """Put ``make(function)`` in a function's place, also where a module has imported it by name already."""
    owner, name, original = find(path)
    changed = make(original)
    setattr(owner, name, changed)
    for module in list(sys.modules.values()):
        for known, value in list(getattr(module, "__dict__", {}).items()):
            if value is original:
                setattr(module, known, changed)
