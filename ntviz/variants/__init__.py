"""Variants: scores without training, maps of a locus, and any VCF in with the same VCF out, scored."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ntviz.variants.alleles import STATUSES, Allele
    from ntviz.variants.backgrounds import Background, background
    from ntviz.variants.dependencies import Dependency, dependency
    from ntviz.variants.filing import score_file
    from ntviz.variants.options import SCORES, Options
    from ntviz.variants.saturating import Saturation, saturation
    from ntviz.variants.scoring import Scored, Scorer
    from ntviz.variants.summary import Summary
    from ntviz.variants.tables import score

_HOMES = {
    "alleles": ("STATUSES", "Allele"),
    "backgrounds": ("Background", "background"),
    "dependencies": ("Dependency", "dependency"),
    "filing": ("score_file",),
    "options": ("SCORES", "Options"),
    "saturating": ("Saturation", "saturation"),
    "scoring": ("Scored", "Scorer"),
    "summary": ("Summary",),
    "tables": ("score",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "SCORES",
    "STATUSES",
    "Allele",
    "Background",
    "Dependency",
    "Options",
    "Saturation",
    "Scored",
    "Scorer",
    "Summary",
    "background",
    "dependency",
    "saturation",
    "score",
    "score_file",
]


def __getattr__(name: str) -> Any:
    # pandas and the reader are loaded by what is used, not by the import.
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
