"""Attention, observed while a model runs: exact statistics, parts of maps, and tests against nulls. Maps are never stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntviz.annotation.windows import Windows
from ntviz.annotation.windows import around as windows
from ntviz.environment import lazily

if TYPE_CHECKING:
    from ntviz.attention.above import Above
    from ntviz.attention.blocks import Accumulator, Block, Context, Grid, Observer
    from ntviz.attention.element_list import PAPER_ELEMENTS, paper_elements
    from ntviz.attention.enriching import Unfinished, enrich_file, enrichment, merge
    from ntviz.attention.enrichment_table import Enrichment
    from ntviz.attention.habits import Atlas, Detection, Habits, atlas, detect
    from ntviz.attention.interface import Observation, observe
    from ntviz.attention.maps import Thumbnails, TopPairs, Window
    from ntviz.attention.observers import Distance, Entropy, MassByElement, Received
    from ntviz.attention.planning import Plan, plan
    from ntviz.attention.sites import AttendedSites, attended_sites

_HOMES = {
    "above": ("Above",),
    "blocks": ("Accumulator", "Block", "Context", "Grid", "Observer"),
    "element_list": ("PAPER_ELEMENTS", "paper_elements"),
    "enriching": ("Unfinished", "enrich_file", "enrichment", "merge"),
    "enrichment_table": ("Enrichment",),
    "habits": ("Atlas", "Detection", "Habits", "atlas", "detect"),
    "interface": ("Observation", "observe"),
    "maps": ("Thumbnails", "TopPairs", "Window"),
    "observers": ("Distance", "Entropy", "MassByElement", "Received"),
    "planning": ("Plan", "plan"),
    "sites": ("AttendedSites", "attended_sites"),
}

__all__ = [
    "PAPER_ELEMENTS",
    "Above",
    "Accumulator",
    "Atlas",
    "AttendedSites",
    "Block",
    "Context",
    "Detection",
    "Distance",
    "Enrichment",
    "Entropy",
    "Grid",
    "Habits",
    "MassByElement",
    "Observation",
    "Observer",
    "Plan",
    "Received",
    "Thumbnails",
    "TopPairs",
    "Unfinished",
    "Window",
    "Windows",
    "atlas",
    "attended_sites",
    "detect",
    "enrich_file",
    "enrichment",
    "merge",
    "observe",
    "paper_elements",
    "plan",
    "windows",
]

# torch is loaded by what is used, not by the import.
__getattr__ = lazily(__name__, _HOMES)
