"""What scoring a VCF will take, before a model is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ntviz.environment import costing
from ntviz.variants.filing import PIECE
from ntviz.variants.options import MASKED, Options
from ntviz.variants.pairing import EMBEDDING
from ntviz.variants.surveying import survey


def forecast(
    path: str | Path,
    model: Any,
    options: Options | None = None,
    *,
    rate: float,
    piece: int = PIECE,
    batch_tokens: int = 16_384,
    itemsize: int = 4,
    reach: float = costing.REACH,
) -> costing.Forecast:
    """Tokens, seconds, bytes and pieces of a `score_file`, for one device; the file is read through once.

    As if every allele were a substitution that shares no window with another: less where some share a token, more
    where they are insertions and deletions. A background that has to be made first comes on top.

    Parameters
    ----------
    path
        A VCF.
    model
        `models.outline(name)`.
    options
        What is scored, and how.
    rate
        Operations a second of a large matrix product; see `pretraining.speed.matmul_flops`.
    piece
        Records of a piece.
    batch_tokens
        Tokens of a forward pass at most.
    itemsize
        Bytes of a number of the model.
    reach
        Share of the rate that a forward pass reaches.

    Raises
    ------
    vcf.VcfError
        The file cannot be read.
    ValueError
        The options do not fit the model, or the rate or the reach is not above 0.
    """
    options = options or Options()
    vocabulary = model.tokenize("A").vocabulary
    inside, _ = options.fit(vocabulary.k, model.max_bp, model.layers, model.name)
    tokens = 1 + inside
    found = survey(path)
    times = found.alleles * options.frames * (1 + options.both_strands)
    masked = any(name in MASKED for name in options.scores)
    paired = [name for name in options.scores if name not in MASKED]
    # Embeddings alone need no logits.
    spoken = tokens if any(name not in EMBEDDING for name in paired) else 0
    work = [costing.Passes(times, tokens, 1)] if masked else []
    work += [costing.Passes(2 * times, tokens, spoken)] if paired else []
    together = max(1, batch_tokens // tokens)
    memory = model.shape.memory(
        together * tokens,
        answered=together * max(spoken, 1),
        kept=model.layers if any(name in EMBEDDING for name in paired) else 0,
        itemsize=itemsize,
    )
    pieces = max(1, -(-found.records // piece))
    return costing.forecast(model.shape, work, rate=rate, memory_bytes=memory, pieces=pieces, reach=reach)
