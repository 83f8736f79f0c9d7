"""Interactive explorers for JupyterLab, which are complete static figures wherever nobody is there to explore."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ntviz.explore.explorer import Explorer, attention
    from ntviz.explore.places import Place
    from ntviz.explore.variant_explorer import VariantExplorer, variant

_HOMES = {
    "explorer": ("Explorer", "attention"),
    "places": ("Place",),
    "variant_explorer": ("VariantExplorer", "variant"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["Explorer", "Place", "VariantExplorer", "attention", "variant"]


def __getattr__(name: str) -> Any:
    # torch, matplotlib and anywidget are loaded by what is used, not by the import.
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
