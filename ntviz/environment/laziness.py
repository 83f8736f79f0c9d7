"""Packages whose names are imported when they are first asked for: what is heavy is loaded by what is used."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType
from typing import Any


class NotInstalledError(ModuleNotFoundError):
    """A package of an extra that is not installed here."""


def need(module: str, extra: str, instead: str = "") -> ModuleType:
    """The module of one of ntviz's extras; where it, or what it imports, is not installed, the error says what to type."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        absent, install = (error.name or module).partition(".")[0], f"pip install 'ntviz[{extra}]'"
        if not _brings(extra):
            version = ".".join(map(str, sys.version_info[:2]))
            install = f"there is none for Python {version} yet; use an older Python"
        install += instead and f", or {instead}"
        what = f"{absent} must be installed for this, and it is not: {install}"
        raise NotInstalledError(what, name=absent) from error


def _brings(extra: str) -> bool:
    """Whether an extra has packages for this Python; True where ntviz itself is not installed."""
    from packaging.requirements import Requirement

    with suppress(metadata.PackageNotFoundError):
        needed = [one.marker for one in map(Requirement, metadata.requires("ntviz") or []) if one.marker]
        return any(marker.evaluate({"extra": extra}) for marker in needed)
    return True


class _Package(ModuleType):
    """A package in which a name and the file that holds it may be called the same: the name is what is found."""

    def __setattr__(self, name: str, value: Any) -> None:
        # The import system puts each loaded file here; `attention.enrichment` is the function all the same.
        if not (isinstance(value, ModuleType) and name in self.__all__):
            super().__setattr__(name, value)


def lazily(package: str) -> tuple[Callable[[str], Any], list[str]]:
    """`__getattr__` and `__all__` of a package whose names stand once, imported under `if TYPE_CHECKING:`."""
    # `lazy_loader` does the same from a stub, but lets a file hide the function of its name.
    module = sys.modules[package]
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    blocks = (node for node in tree.body if isinstance(node, ast.If))
    block = next(node for node in blocks if ast.unparse(node.test) == "TYPE_CHECKING")
    homes = {
        alias.asname or alias.name: (str(node.module), alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home, there = homes[name]
        return getattr(import_module(home), there)

    module.__class__ = _Package
    return find, sorted(homes)
