"""What an analysis may ask of a model. Any class with these members fits; fakes with known answers do too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np

    from ntviz.tokens import Tokens

OUTPUTS = ("logits", "hidden_states", "attentions")
"""The outputs that `DNAModel.forward` can be asked for."""


@dataclass(frozen=True)
class Forward:
    """What one forward pass gave, as float32 numpy arrays; an output that was not asked for is None.

    `input_ids` and `attention_mask` (True where a token is real) are [sequence, token], padded on the right. `logits` are [sequence,
    token, vocab], or [sequence, n, vocab] where `at` named n tokens; at padding they mean nothing. `attentions` are [sequence, layer,
    head, query, key], zero-based; each row over keys sums to one. `hidden_states` are [sequence, layer + 1, token, hidden], or of the
    `layers` asked for: index 0 is the embedding; i, for 0 < i < last, the residual stream after block i - 1; the last is after the
    final LayerNorm, so it is on another scale than the one before.
    """

    input_ids: np.ndarray
    attention_mask: np.ndarray
    logits: np.ndarray | None = None
    hidden_states: np.ndarray | None = None
    attentions: np.ndarray | None = None


class _Model(Protocol):
    """`info` is plain data for a manifest: name, revision, weight hash, licence, shape, dtype, device."""

    @property
    def name(self) -> str: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def layers(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def info(self) -> dict[str, Any]: ...

    def tokenize(self, sequence: str, *, phase: int = 0) -> Tokens:
        """Tokens of an upper-case sequence, with their spans in bp."""
        ...


@runtime_checkable
class DNAModel(_Model, Protocol):
    """The protocol that analyses rely on. `max_tokens` counts `<cls>`; `max_bp` is the longest N-free sequence that fits."""

    @property
    def max_bp(self) -> int: ...
    @property
    def mask_id(self) -> int: ...
    @property
    def heads(self) -> int: ...

    def forward(
        self, batch: Tokens | Sequence[Tokens] | np.ndarray, *, outputs: Sequence[str] = ("logits",),
        at: np.ndarray | None = None, layers: Sequence[int] | None = None,
    ) -> Forward:  # fmt: skip
        """One forward pass over one or several token sequences, or over ids [sequence, token].

        With `at` [sequence, n] logits are given at those tokens only, with `layers` hidden states of these layers only.
        """
        ...


@runtime_checkable
class Embedder(_Model, Protocol):
    """What turning sequences into vectors asks of a model; one without attention or a vocabulary fits too."""

    def embed(
        self, batch: Sequence[Tokens], *, layers: Sequence[int], poolings: Sequence[str] = ("mean",)
    ) -> np.ndarray:
        """One vector a sequence, layer (0, the embedding, to `layers`) and pooling, float32 [sequence, layer, pooling, hidden].

        "mean" and "max" go over the tokens that cover bases: padding and special tokens are out.
        """
        ...


SPLICE_CLASSES = ("none", "acceptor", "donor")
"""Order of what a splice network tells apart: an acceptor is the first base of an exon, a donor the last one."""


@runtime_checkable
class SplicePredictor(Protocol):
    """What splicing asks of a model; `context` bases on each side of a position are all that its prediction follows from."""

    @property
    def context(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def info(self) -> dict[str, Any]: ...

    def probabilities(self, bases: np.ndarray, *, pad: bool = False) -> np.ndarray:
        """[sequence, position, class] of one-hot bases [sequence, 4, base]; with `pad` for every base, else for all but `context` at each end."""
        ...
