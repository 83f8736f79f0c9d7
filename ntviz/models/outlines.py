"""Models without their weights: what a forecast needs to know, from a name or a config.json, in a moment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ntviz.environment.costing import Shape
from ntviz.models import checkpoints, peers, registry
from ntviz.tokens import VOCABULARIES, Tokenizer, Tokens, Vocabulary


@dataclass(frozen=True)
class Outline:
    """A model by its numbers: it can cut sequences into tokens and say what it would cost, and read nothing.

    Attributes
    ----------
    name
        As the loaded model's.
    shape
        Of the encoder.
    max_tokens
        Longest input, `<cls>` included.
    max_bp
        Longest N-free sequence that fits.
    vocabulary
        Of k-mers; None for a model that has others.
    """

    name: str
    shape: Shape
    max_tokens: int
    max_bp: int
    vocabulary: Vocabulary | None

    @property
    def layers(self) -> int:
        """Blocks of the encoder."""
        return self.shape.layers

    @property
    def heads(self) -> int:
        """Attention heads of a block."""
        return self.shape.heads

    @property
    def hidden_size(self) -> int:
        """Width of the encoder."""
        return self.shape.hidden

    @property
    def mask_id(self) -> int:
        """Id of the mask token."""
        return self._known.mask_id

    @property
    def info(self) -> dict[str, Any]:
        """Name and vocabulary; there are no weights to tell of."""
        return {"name": self.name, "vocabulary": None if self.vocabulary is None else self.vocabulary.name}

    def tokenize(self, sequence: str, *, phase: int = 0) -> Tokens:
        """Tokens of an upper-case sequence, with their spans in bp."""
        return Tokenizer(self._known)(sequence, max_tokens=self.max_tokens, phase=phase)

    def tokens(self, bp: int) -> int:
        """Tokens of a sequence of so many bp without N, `<cls>` included; the most there can be where that is unknown."""
        if self.vocabulary is None:
            return min(self.max_tokens, bp + 1)
        return 1 + bp // self.vocabulary.k + bp % self.vocabulary.k

    @property
    def _known(self) -> Vocabulary:
        if self.vocabulary is None:
            raise ValueError(
                f"A model must read k-mers for this; {self.name} reads other tokens. Take one of the Nucleotide "
                "Transformers, or ntviz-mini."
            )
        return self.vocabulary


def outline(name_or_path: str | os.PathLike[str]) -> Outline:
    """The outline of a model that `models.load` would load; neither weights nor network are needed for a known name.

    Parameters
    ----------
    name_or_path
        As of `models.load`; of repositories on the hub only those with a short name.

    Raises
    ------
    ValueError
        The name is unknown, or the directory holds a peer that goes by another name than its own.
    FileNotFoundError
        The directory has no config.json.

    Examples
    --------
    >>> mini = outline("ntviz-mini")
    >>> mini.max_bp, mini.tokens(1530), mini.shape.parameters
    (1530, 256, 4803372)
    """
    name = os.fspath(name_or_path)
    directory = checkpoints.folder(name)
    spec = registry.find(name)
    if directory is not None:
        located = checkpoints.local(directory)
        if peers.family(directory) is None:
            return _described(located)
        spec = located.spec
    elif spec is None:
        near = registry.suggestions(name)
        raise ValueError(
            f"A model must be a checkpoint directory or a known name; received {name!r}. "
            + (f"Did you mean {' or '.join(near)}? " if near else "")
            + "`ntviz models` lists the names."
        )
    if isinstance(spec, registry.ModelSpec):
        words = VOCABULARIES[spec.vocabulary]
        shape = Shape(
            spec.layers, spec.heads, spec.hidden, spec.ffn, spec.rotary, words.n_logits, spec.parameters or 0
        )
        if not spec.parameters:
            shape = _counted(shape)
        return Outline(spec.name, shape, spec.max_tokens, spec.max_bp, words)
    if isinstance(spec, registry.PeerSpec):
        shape = Shape(spec.layers, spec.heads, spec.hidden, 4 * spec.hidden, False, 0, spec.parameters)
        return Outline(spec.name, shape, spec.max_tokens, spec.max_bp, None)
    raise ValueError(
        f"A peer's directory must be called by its name in `ntviz models` to be forecast; received {name}. Rename it."
    )


def _described(located: checkpoints.Located) -> Outline:
    from ntviz.models import encoder, nucleotide_transformer

    config = checkpoints.read_config(located.directory)
    spec = located.spec if isinstance(located.spec, registry.ModelSpec) else None
    words = nucleotide_transformer.read_vocabulary(located.directory, config, spec)
    shape = Shape(
        config["num_hidden_layers"],
        config["num_attention_heads"],
        config["hidden_size"],
        config["intermediate_size"],
        encoder.is_gated(config),
        words.n_logits,
        0,
    )
    limit = config.get("max_position_embeddings", 1026) - 2
    return Outline(located.name, _counted(shape), limit, words.max_bases(limit), words)


def _counted(shape: Shape) -> Shape:
    """With the parameters that follow from the rest, biases and norms left out."""
    linear = 4 * shape.hidden**2 + (3 if shape.gated else 2) * shape.hidden * shape.ffn
    total = shape.layers * linear + 2 * shape.words * shape.hidden + shape.hidden**2
    return Shape(shape.layers, shape.heads, shape.hidden, shape.ffn, shape.gated, shape.words, total)
