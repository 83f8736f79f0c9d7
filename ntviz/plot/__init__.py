"""Figures: what models see, drawn over the genome.

Each function takes the data first and everything else by keyword, and returns a `Figure`, which a notebook shows in
the last line of a cell and which saves itself as PNG, SVG or an HTML page that opens offline.
"""

from __future__ import annotations

from ntviz.plot.attention import attention_track
from ntviz.plot.bars import bars
from ntviz.plot.curves import Panel, curves
from ntviz.plot.figure import Figure
from ntviz.plot.genes import genes_track
from ntviz.plot.live import LiveCurves
from ntviz.plot.locus import locus
from ntviz.plot.logo import logo_track, sequence_track
from ntviz.plot.signals import signal_track
from ntviz.plot.strips import token_strip

__all__ = [
    "Figure",
    "LiveCurves",
    "Panel",
    "attention_track",
    "bars",
    "curves",
    "genes_track",
    "locus",
    "logo_track",
    "sequence_track",
    "signal_track",
    "token_strip",
]
