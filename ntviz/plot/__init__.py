"""Figures: what models see, drawn over the genome.

Each function takes the data first and everything else by keyword, and returns a `Figure`, which a notebook shows in
the last line of a cell and which saves itself as PNG, SVG or an HTML page that opens offline.
"""

from __future__ import annotations

from ntviz.plot.aligned import aligned_logo
from ntviz.plot.attention import attention_track
from ntviz.plot.attention_map import attention_map
from ntviz.plot.bars import bars
from ntviz.plot.contributions import contribution_track
from ntviz.plot.curves import Panel, curves
from ntviz.plot.dependent import dependency
from ntviz.plot.enrichment import enrichment
from ntviz.plot.figure import Figure
from ntviz.plot.genes import genes_track
from ntviz.plot.heads import head_atlas
from ntviz.plot.live import LiveCurves
from ntviz.plot.locus import locus
from ntviz.plot.logo import logo_track, sequence_track
from ntviz.plot.motif_logos import Beside, motif_logos
from ntviz.plot.projected import embedding_map
from ntviz.plot.ranked import leaderboard
from ntviz.plot.regions import regions_track
from ntviz.plot.saturated import saturation
from ntviz.plot.signals import signal_track
from ntviz.plot.strips import token_strip
from ntviz.plot.thumbnails import thumbnails

__all__ = [
    "Beside",
    "Figure",
    "LiveCurves",
    "Panel",
    "aligned_logo",
    "attention_map",
    "attention_track",
    "bars",
    "contribution_track",
    "curves",
    "dependency",
    "embedding_map",
    "enrichment",
    "genes_track",
    "head_atlas",
    "leaderboard",
    "locus",
    "logo_track",
    "motif_logos",
    "regions_track",
    "saturation",
    "sequence_track",
    "signal_track",
    "thumbnails",
    "token_strip",
]
