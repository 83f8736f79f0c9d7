"""The bases of an Interval from an indexed FASTA: contig aliases, padding beyond the ends, and which assembly it is."""

from __future__ import annotations

from ntviz.reference.fasta import Reference, ReferenceSequence
from ntviz.reference.files import build_index, recompress

__all__ = ["Reference", "ReferenceSequence", "build_index", "recompress"]
