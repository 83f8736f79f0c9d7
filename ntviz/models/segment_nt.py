"""SegmentNT: the Nucleotide Transformer with a U-Net over its tokens that says what each base is part of. No remote code.

References
----------
Segment-NT, Nature Methods 2025, doi 10.1038/s41592-025-02881-2. Names of modules are those of the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import avg_pool1d, silu

from ntviz import tokens
from ntviz.models import checkpoints, encoder, nucleotide_transformer
from ntviz.models.model import float32
from ntviz.models.nucleotide_transformer import NucleotideTransformer
from ntviz.models.segmentation import Segmentation, tiled

TRAINED, POSITIONS = 5_000, 2_048
"""Tokens of an input in training, and positions of the encoder that it was made of."""
_K = 6
ELEMENTS = (
    "protein_coding_gene", "lncRNA", "exon", "intron", "splice_donor", "splice_acceptor", "5UTR", "3UTR", "CTCF-bound",
    "polyA_signal", "enhancer_Tissue_specific", "enhancer_Tissue_invariant", "promoter_Tissue_specific",
    "promoter_Tissue_invariant",
)  # fmt: skip
"""The published 14, in their order; what a checkpoint has is in its config.json."""


@dataclass(frozen=True, repr=False)
class SegmentNT(NucleotideTransformer):
    """A loaded SegmentNT: hidden states and attention as of any Nucleotide Transformer, and `segment`."""

    module: Any

    @property
    def elements(self) -> tuple[str, ...]:
        """What is told apart, as config.json has it."""
        return tuple(self.module.features)

    @property
    def unit(self) -> int:
        """Bp whose multiple an input must be: 24 as published."""
        return _K * 2**self.module.unet.levels

    def segment(
        self, what: Any, *, reference: Any = None, tile: int | None = None, overlap: int | None = None,
        factor: float | None = None,
    ) -> Segmentation:  # fmt: skip
        """Probabilities of the elements at each base of a sequence, or of an interval of a `reference`.

        Parameters
        ----------
        what
            Bases A, C, G, T, N, or an `Interval`, of which real flanks are read too: the last bases of a window are told badly.
        tile, overlap
            bp of a window, a multiple of 24, and those that neighbours share, of which each gives half; 30,000 at most and an eighth.
            Longer windows, 50 kb as published at most, need a larger `factor`.
        factor
            Of the rotary positions; that of config.json up to 5,001 tokens, else tokens / 2048.
        """
        longest = TRAINED * _K if tile is None else tile
        if longest % self.unit or longest < self.unit:
            below, above = longest // self.unit * self.unit, -(-longest // self.unit) * self.unit
            raise ValueError(
                f"tile must be a multiple of {self.unit} bp for {self.name}; got {longest:,}. Take {below or above:,} or {above:,}."
            )
        return tiled(
            lambda bases: self._read(bases, factor), what, reference, tile=longest, margin=0, overlap=overlap,
            elements=self.elements, model=self.name, takes_n=False, step=self.unit, grid=_K,
        )  # fmt: skip

    def logits(self, ids: np.ndarray, *, factor: float | None = None) -> np.ndarray:
        """Scores of ids [sequence, token], float32 [sequence, base, element, 2], no and yes; whole 6-mers behind `<cls>` only."""
        vocabulary = self.tokenizer.vocabulary
        ids = np.atleast_2d(ids)
        n = ids.shape[1] - 1
        kmers = (ids[:, 1:] >= vocabulary.kmer_ids.start) & (ids[:, 1:] < vocabulary.kmer_ids.stop)
        masked = ids[:, 1:] == vocabulary.mask_id
        if n < 1 or n * _K % self.unit or not (kmers | masked).all() or (ids[:, 0] != vocabulary.cls_id).any():
            raise ValueError(
                f"{self.name} reads <cls> and a multiple of {self.unit // _K} whole 6-mers ({self.unit} bp), without N, single "
                f"letters and <pad>, of which each would move the coordinates behind it; got {n:,} tokens"
                + ("" if (kmers | masked).all() else ", others among them")
                + ". Cut the sequence, or ask `segment`, which reads such sequences in pieces."
            )
        module = self.module
        with torch.inference_mode(), self._scaled(n + 1, factor):
            states = module.esm(input_ids=torch.from_numpy(ids.astype(np.int64)).to(module.device)).last_hidden_state
            scores = module.fc(silu(module.unet(states[:, 1:])))
        return float32(scores.unflatten(-1, (_K, -1, 2)).flatten(1, 2))

    def reproduced(self, expected: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `models.verify` has it."""
        ours = super().reproduced({name: value for name, value in expected.items() if name != "logits"})
        blocks, seen = dict(self.module.unet.named_children()), {}
        handles = [
            block.register_forward_hook(lambda _, __, out, name=f"unet_{way}_{i}": seen.__setitem__(name, out))
            for way in ("down", "up") for i, block in enumerate(blocks[f"_{way}sample_blocks"])
        ]  # fmt: skip
        handles.append(self.module.unet.register_forward_hook(lambda _, __, out: seen.__setitem__("unet_out", out)))
        try:
            scores = self.logits(expected["input_ids"])
        finally:
            for handle in handles:
                handle.remove()
        for name, state in seen.items():
            state = state if name == "unet_out" else state.transpose(1, 2)
            ours[name] = float32(state.repeat_interleave(2, dim=1) if name.startswith("unet_up") else state)
        ours |= {"logits": scores, "probabilities": _probability(scores)}
        if "rescaling_override" in expected:
            ours["logits_rescaling_override"] = self.logits(expected["input_ids"], factor=float(expected["rescaling_override"]))  # fmt: skip
        return {name: values for name, values in ours.items() if name in expected}

    def _read(self, bases: str, factor: float | None) -> np.ndarray:
        return _probability(self.logits(self.tokenizer(bases).ids, factor=factor)[0])

    @contextmanager
    def _scaled(self, n: int, factor: float | None) -> Generator[None]:
        """The rotary table for inputs of n tokens, put back afterwards."""
        factor = factor or (n / POSITIONS if n > TRAINED + 1 else None)
        rotary, config = self.module.esm.rotary_embeddings, self.module.config
        table = rotary.inv_freq
        if factor is not None:
            base = encoder.rescaled(factor, config.hidden_size // config.num_attention_heads)
            steps = torch.arange(len(table), dtype=torch.float32, device=table.device) / len(table)
            rotary.inv_freq = base**-steps
        try:
            yield
        finally:
            rotary.inv_freq = table

    def _fresh(self) -> torch.nn.Module:
        fresh, own = super()._fresh(), self.module
        return _with_head(fresh, own.config.hidden_size, own.unet.levels, own.features)


def _probability(scores: np.ndarray) -> np.ndarray:
    """Softmax of the last axis, its second entry."""
    from scipy.special import expit

    return expit(scores[..., 1] - scores[..., 0])


class Convolutions(nn.Module):
    """Two convolutions [sequence, channel, token], each behind SiLU."""

    def __init__(self, kind: type[nn.Module], before: int, after: int) -> None:
        super().__init__()
        self.conv_layers = nn.ModuleList([kind(before, after, 3, padding=1), kind(after, after, 3, padding=1)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.conv_layers:
            x = silu(layer(x))
        return x


class UNet(nn.Module):
    """States [sequence, token, width] to the same; tokens are a multiple of 2^levels."""

    def __init__(self, width: int, levels: int) -> None:
        super().__init__()
        self.levels = levels
        down = [width * 2**level for level in range(levels)]
        up = down[::-1]
        self._downsample_blocks = nn.ModuleList(
            Convolutions(nn.Conv1d, before, after) for before, after in zip([width, *down[:-1]], down, strict=True)
        )
        self._upsample_blocks = nn.ModuleList(
            Convolutions(nn.ConvTranspose1d, before, after) for before, after in zip([up[0], *up[:-1]], up, strict=True)
        )
        self.final_block = Convolutions(nn.Conv1d, width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, skips = x.transpose(1, 2), []
        for block in self._downsample_blocks:
            skips.append(x := block(x))
            x = avg_pool1d(x, 2)
        for block in self._upsample_blocks:
            x = block(x).repeat_interleave(2, dim=2) + skips.pop()
        first, last = self.final_block.conv_layers
        return last(silu(first(x))).transpose(1, 2)


def _with_head(module: Any, width: int, levels: int, features: list[str]) -> Any:
    module.unet, module.fc, module.features = UNet(width, levels), nn.Linear(width, 2 * _K * len(features)), features
    return module


def untrained(
    *, seed: int = 0, hidden: int = 64, ffn: int = 128, layers: int = 2, heads: int = 4, levels: int = 2,
    elements: Sequence[str] = ELEMENTS,
) -> SegmentNT:  # fmt: skip
    """SegmentNT's layout with random weights of any size: to try a notebook without a checkpoint, and for nothing else."""
    vocabulary = tokens.VOCABULARIES["nt-v2"]
    config = {
        "vocab_size": vocabulary.n_logits, "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
        "intermediate_size": ffn, "position_embedding_type": "rotary", "add_bias_fnn": False, "lm_head": False,
        "rescaling_factor": TRAINED / POSITIONS, "max_position_embeddings": POSITIONS + 2,
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = _with_head(encoder.build(config), hidden, levels, list(elements))
    name = f"SegmentNT's layout, {layers} layers, random weights"
    weights = f"random weights, seed {seed}"
    info = {"name": name, "revision": None, "weights_sha256": weights, "licence": "none", "training": {}}
    model = SegmentNT(module, tokens.Tokenizer(vocabulary), name, TRAINED + 1, info)
    return replace(model, module=model._ready(module, torch.device("cpu"), torch.float32))


def load(located: checkpoints.Located, max_tokens: int | None) -> SegmentNT:
    """SegmentNT from a directory as published."""
    config = checkpoints.read_config(located.directory, (*nucleotide_transformer.NEEDED, "features", "num_layers_head"))
    if config.get("position_embedding_type") != "rotary":
        raise ValueError(f"SegmentNT has rotary positions; {located.directory} says {config.get('position_embedding_type')!r}.")  # fmt: skip
    vocabulary = nucleotide_transformer.vocabulary_of(located.directory, config["vocab_size"], None)
    if vocabulary.k != _K:
        raise ValueError(f"SegmentNT reads 6-mers; the vocabulary of {located.directory} is {vocabulary.name}.")
    given = checkpoints.read_tensors(located.directory)
    head = {name: value for name, value in given.items() if name.startswith(("unet.", "fc."))}
    # A table of positions as the class once registered it says what config.json says, rescaled or not.
    tensors = {
        name: value for name, value in given.items()
        if name not in head and not name.startswith("lm_head.") and not name.endswith("rotary_embeddings.inv_freq")
    }  # fmt: skip
    config: dict[str, Any] = {**encoder.completed(config, tensors), "lm_head": False}
    with torch.device("meta"):
        module = _with_head(encoder.build(config), config["hidden_size"], config["num_layers_head"], list(config["features"]))  # fmt: skip
    encoder.assign(module, {**tensors, **head}, origin=str(located.directory))
    limit = max_tokens or max(TRAINED + 1, config.get("max_position_embeddings", 0) - 2)
    return SegmentNT(module, tokens.Tokenizer(vocabulary), located.name, limit, {"language_model_head": False})
