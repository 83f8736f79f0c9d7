"""Vectors of sequences, and of windows of the genome by genomic element: read once, laid out in two dimensions, told apart.

`embed` reads any layer, pooled over tokens, and keeps vectors by content; `along` gives each token of a place of any length
its vector. `windows` draws windows that lie in one element
each; `by_layer` maps them for each layer beside k-mer frequencies and the model with random weights; `separation` measures
what an eye may only believe to see in a map.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntviz.environment import lazily

if TYPE_CHECKING:
    from ntviz.embeddings.along import Along, along
    from ntviz.embeddings.maps import METHODS, Maps, by_layer, project, scaled
    from ntviz.embeddings.separation import separation
    from ntviz.embeddings.vectors import Store, Vectors, embed, fingerprint, kmer_frequencies
    from ntviz.embeddings.windows import ELEMENTS, Windows, windows

__getattr__, __all__ = lazily(__name__)
