"""Interactive explorers for JupyterLab, which are complete static figures wherever nobody is there to explore."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntviz.environment import lazily

if TYPE_CHECKING:
    from ntviz.explore.explorer import Explorer, attention
    from ntviz.explore.places import Place
    from ntviz.explore.variant_explorer import VariantExplorer, variant

_HOMES = {
    "explorer": ("Explorer", "attention"),
    "places": ("Place",),
    "variant_explorer": ("VariantExplorer", "variant"),
}

__all__ = ["Explorer", "Place", "VariantExplorer", "attention", "variant"]

# torch, matplotlib and anywidget are loaded by what is used, not by the import.
__getattr__ = lazily(__name__, _HOMES)
