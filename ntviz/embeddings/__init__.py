"""Hidden states as vectors of sequences, read once: any layer, pooled over tokens, kept by content."""

from __future__ import annotations

from ntviz.embeddings.kmers import kmer_frequencies
from ntviz.embeddings.store import Store, fingerprint
from ntviz.embeddings.vectors import Vectors, embed

__all__ = ["Store", "Vectors", "embed", "fingerprint", "kmer_frequencies"]
