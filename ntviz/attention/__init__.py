"""Attention, observed while a model runs: exact statistics, parts of maps, and tests against nulls. Maps are never stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntviz.environment import lazily

if TYPE_CHECKING:
    from ntviz.annotation.windows import Windows
    from ntviz.annotation.windows import around as windows
    from ntviz.attention.ablation import Ablation, Patching, ablate, changes, patch
    from ntviz.attention.blocks import Block, Context, Observer
    from ntviz.attention.editing import ablated
    from ntviz.attention.enrichment import Unfinished, enrich_file, enrichment, merge
    from ntviz.attention.enrichment_table import Enrichment
    from ntviz.attention.habits import Atlas, Detection, Habits, atlas, detect
    from ntviz.attention.maps import Thumbnails, TopPairs, Window
    from ntviz.attention.memory import Plan, plan
    from ntviz.attention.observation import Observation, observe
    from ntviz.attention.observers import Above, Distance, Entropy, Received
    from ntviz.attention.paper import PAPER_ELEMENTS, paper_elements
    from ntviz.attention.sites import AttendedSites, attended_sites

__getattr__, __all__ = lazily(__name__)
