"""Explorers for JupyterLab: ipywidgets around one live plotly figure, and a static figure wherever nobody is there to explore."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntviz.environment import lazily

if TYPE_CHECKING:
    from ntviz.explore.attention_explorer import AttentionExplorer, attention
    from ntviz.explore.locus_component import Component, base_table, per_base, tiles
    from ntviz.explore.locus_explorer import LocusExplorer, locus
    from ntviz.explore.places import Place
    from ntviz.explore.toolbar import Explorer
    from ntviz.explore.variant_explorer import VariantExplorer, variant

__getattr__, __all__ = lazily(__name__)
