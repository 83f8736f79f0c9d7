"""Sequence to tokens as the Nucleotide Transformer family cuts it, and the exact map between token and base.

Every token but the special ones covers a span of bases, 0-based half-open in bp within the sequence, and the spans tile it;
`Tokens.on` puts them on the genome.

References
----------
Dalla-Torre et al. (2025) Nature Methods 22:287-297. k-mers are cut from the left without overlap; between
two N a run is cut by itself, its remainder as single letters; each N is a token of its own. `<cls>` comes
first, and no `<eos>` last. The ids equal those of transformers' EsmTokenizer on the published vocab.txt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntviz.environment import lazily

if TYPE_CHECKING:
    from ntviz.tokens.marginals import base_log_probs, kmer_base_log_probs, kmer_base_probs
    from ntviz.tokens.tokenizer import Tokenizer
    from ntviz.tokens.tokens import Batch, Tokens
    from ntviz.tokens.vocabulary import VOCABULARIES, Vocabulary

__getattr__, __all__ = lazily(__name__)
