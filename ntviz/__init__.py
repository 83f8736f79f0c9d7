"""ntviz: see what DNA language models see."""

from __future__ import annotations


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(f"module 'ntviz' has no attribute {name!r}")
    from importlib.metadata import version

    return version("ntviz")
