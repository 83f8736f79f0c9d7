"""Figures: what models see, drawn over the genome.

Each function takes the data first and everything else by keyword, and returns a `plotly.graph_objects.Figure`: zoom it,
hover over it, change it with plotly's own `update_layout`, save it with `save` or `write_html`. What it shows in words,
with numbers from the data, is `figure.layout.meta["alt"]`. One motif is logomaker's, on matplotlib axes (`logo`).
Bad arrays, tables and places are refused with a ValueError that says what must hold, what came and what to do.

In a kernel, importing this makes ntviz's renderer plotly's default, unless another was chosen: figures, also your own, then
show in JupyterLab, in executed notebooks and in pages without a network.
"""

from __future__ import annotations

from ntviz.plot.attention import attention_map, attention_track, enrichment, head_atlas, thumbnails
from ntviz.plot.charts import LiveCurves, Panel, bars, curves, embedding_map, leaderboard, token_strip
from ntviz.plot.letters import contribution_track, logo_track, sequence_track
from ntviz.plot.locus import locus
from ntviz.plot.motif_logo import Beside, aligned_logo, logo, motif_logos, splice_logo
from ntviz.plot.show import FORMATS, NoPicture, alt, install, save, table
from ntviz.plot.theme import theme
from ntviz.plot.tracks import Track, elements_track, genes_track, regions_track, signal_track, splice_track
from ntviz.plot.variants import dependency, saturation

__all__ = [
    "FORMATS", "Beside", "LiveCurves", "NoPicture", "Panel", "Track", "aligned_logo", "alt", "attention_map", "attention_track",
    "bars", "contribution_track", "curves", "dependency", "elements_track", "embedding_map", "enrichment", "genes_track", "head_atlas",
    "leaderboard", "locus", "logo", "logo_track", "motif_logos", "regions_track", "saturation", "save", "sequence_track",
    "signal_track", "splice_logo", "splice_track", "table", "theme", "thumbnails", "token_strip"]  # fmt: skip

install()
