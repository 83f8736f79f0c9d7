"""NTv3: single bases through a tower of convolutions, attention at 2^D bp, and back to single bases. No remote code.

Two kinds. The pre-trained one predicts masked bases; the post-trained one also takes a species, and predicts tracks of
experiments and elements of the genome for the middle of a window. Written from the paper and the published layout.

References
----------
NTv3, bioRxiv 2025.12.22.695963. Names of modules are those of the published checkpoints, below ``core.``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch

from ntviz.environment import tell
from ntviz.models import checkpoints
from ntviz.models.model import Model, States, float32
from ntviz.models.ntv3_network import NTv3Network, activated, widths
from ntviz.models.peers.peer import limit, read_config, refused
from ntviz.models.segmentation import Segmentation, tiled
from ntviz.tokens import Tokenizer, Tokens
from ntviz.tokens.tokenizer import Bins, BinTokenizer

LONGEST = 1_048_576
"""bp that the main models were trained up to; the stages called `_8kb` and `_131kb` are earlier ones."""
UNSEEN = "unseen"
"""Stands for the species token `<mask>`: a species that the model does not know."""
_NUMBERS = (
    "alphabet_size", "token_embed_dim", "conv_init_embed_dim", "embed_dim", "ffn_embed_dim", "attention_heads",
    "key_size", "num_layers", "num_downsamples",
)  # fmt: skip
_PUBLISHED = {"num_hidden_layers_head": 0, "deconv_phase": "odd", "alphabet_size": 11}
_POST = ("species_to_token_id", "bigwigs_per_species", "bed_elements_names")
_UNUSED = r".*\.rotary_embedding\.inv_freq"


@dataclass(frozen=True)
class Prediction:
    """What a post-trained model says of the middle of a window.

    `tracks` are float32 [base, track], zero or more: the signal as scaled in training (by the track's mean, large values
    compressed), no read counts. `elements` are probabilities, float32 [base, element], which overlap. `offset` is the
    number of bases from the start of the window to the first that has a prediction.
    """

    tracks: np.ndarray
    track_names: tuple[str, ...]
    elements: Segmentation
    offset: int
    species: str
    filled: int  # N added to reach a length that the model takes


@dataclass(frozen=True, repr=False)
class NTv3(Model):
    """A loaded NTv3; implements `models.DNAModel` and `models.Embedder`, single bases being its tokens.

    Each sequence is filled up with N on the right to a multiple of 2^D bp (128 as published), which its attention sees;
    a note says so, and `<pad>`, on which nothing was trained, is refused. Hidden states are called as in `states`: the stem, the
    down blocks, the transformer's, the up blocks, of which the last is the embedding. Those of several bp are given to each of
    their bases. Attention is over bins of 2^D bp, heads zero-based; see `attention_tokens`.
    """

    module: NTv3Network
    tokenizer: Tokenizer
    species: str = ""

    licence_of_outputs: ClassVar[str] = "Terms of NTv3's licence cover its outputs too: not for commercial use."

    def __repr__(self) -> str:
        species = f", for {self.species}" * bool(self.species)
        return f"{super().__repr__()}; attention over bins of {self.module.step} bp{species}"

    @property
    def states(self) -> tuple[str, ...]:
        """Name of each hidden state, 0 to `layers`."""
        deep, blocks = self.module.shape["num_downsamples"], self.module.shape["num_layers"]
        names = [*(f"down {i}" for i in range(1, deep + 1)), *(f"transformer {i}" for i in range(1, blocks + 1))]
        return ("stem", *names, *(f"up {i}" for i in range(1, deep)), "embedding")

    @property
    def attention_layers(self) -> int:
        """Blocks that attend, which are fewer than the hidden states."""
        return self.module.config.num_hidden_layers

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements that a post-trained model predicts; empty for the pre-trained kind."""
        return tuple(self.module.shape.get("bed_elements_names") or ())

    @property
    def known_species(self) -> tuple[str, ...]:
        """Species that a post-trained model was trained on, in the order of their tokens."""
        ids = self.module.shape.get("species_to_token_id") or {}
        return tuple(name for _, name in sorted((ids[name], name) for name in ids) if not name.startswith("<"))

    def on(self, species: str) -> Self:
        """The model for a species, as `known_species` calls it, or "unseen" for another one."""
        if not self.known_species:
            raise ValueError(f"{self.name} is pre-trained only and takes no species. Load a model called ..._post.")
        if species not in (*self.known_species, UNSEEN):
            known = ", ".join(self.known_species)
            raise ValueError(f"species must be one of {known}, or 'unseen' for another one; got {species!r} for {self.name}.")  # fmt: skip
        return replace(self, species=species, info={**self.info, "species": species + " (<mask>)" * (species == UNSEEN)})  # fmt: skip

    def attention_tokens(self, sequence: str) -> Tokens:
        """What the attention of a sequence is over: bins of 2^D bp, the last shorter where N fill it up."""
        self.tokenize(sequence)  # the length is held to the limit
        return BinTokenizer(self.module.step)(sequence)

    def predict(self, sequence: str, *, tracks: Sequence[str] | None = None, interval: Any = None) -> Prediction:
        """Tracks and elements of the middle of a sequence, as long as the share of it that training compared (37.5 %).

        Parameters
        ----------
        sequence
            Upper-case A, C, G, T, N; filled up with N on the right to a multiple of 2^D bp.
        tracks
            Names of those that are wanted; None for all of the species.
        interval
            Where the sequence lies, for the coordinates of the elements.
        """
        head, names = self._head()
        wanted = names if tracks is None else tuple(tracks)
        absent = [name for name in wanted if name not in names]
        if absent:
            some = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
            raise ValueError(
                f"Tracks must be among the {len(names):,} of {self.species} ({some or 'it has none'}); got {absent[0]!r}."
            )
        embedding, filled = self._embedding(sequence)
        cut = self._cut(embedding.shape[1])
        middle = embedding[:, cut : embedding.shape[1] - cut]
        kept = max(0, min(len(sequence), embedding.shape[1] - cut) - cut)
        with torch.inference_mode():
            values = np.zeros((kept, 0), np.float32)
            if wanted:
                values = float32(self.module.tracks(middle, head, [names.index(name) for name in wanted])[0, :kept])
            shares = float32(self.module.elements(middle)[0, :kept])
        place = interval
        if interval is not None:
            start = interval.start + cut if interval.strand != "-" else interval.end - cut - kept
            place = replace(interval, start=start, end=start + kept)
        return Prediction(values, wanted, Segmentation(shares, self.elements, place, self.name), cut, self.species, filled)  # fmt: skip

    def segment(self, what: Any, *, reference: Any = None, tile: int = 32_768, overlap: int | None = None) -> Segmentation:  # fmt: skip
        """Probabilities of the elements at each base of a sequence, or of an interval of a `reference`.

        Read in windows of `tile` bp of which the middle 37.5 % are kept, each window's neighbours `overlap` bp into it; real flanks
        are taken where a reference has them, N elsewhere.
        """
        if not self.elements:
            raise ValueError(f"{self.name} predicts no elements: load a post-trained NTv3, or SegmentNT.")
        step = self.module.step
        if tile % step or tile < 8 * step:
            raise ValueError(f"tile must be a multiple of {step} bp, at least {8 * step:,}; got {tile:,}.")
        cut = self._cut(tile)

        def read(bases: str) -> np.ndarray:
            with torch.inference_mode():
                embedding, _ = self._embedding(bases)
                return float32(self.module.elements(embedding[:, cut : tile - cut])[0])

        return tiled(
            read, what, reference, tile=tile, margin=cut, overlap=overlap, elements=self.elements, model=self.name,
            takes_n=True,
        )  # fmt: skip

    def reproduced(self, expected: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `models.verify` has it: states under the names of the original implementation, and what the heads say."""
        ids = torch.from_numpy(self._padded(expected["input_ids"].astype(np.int64))[0])
        network, post = self.module, "species_ids" in expected
        if post != bool(self.known_species):
            raise ValueError(f"species_ids must be given for a post-trained NTv3, and for no other; {self.name} is not so.")  # fmt: skip
        species = torch.from_numpy(expected["species_ids"].astype(np.int64)) if post else None
        with torch.inference_mode():
            found = network.states(ids, None, attentions=True, species=species)
            native: list[torch.Tensor] = found.hidden.native  # type: ignore[attr-defined]
            deep, blocks = len(network.conv_tower_blocks), len(network.transformer_blocks)
            towers = (("conv_tower", deep), ("transformer", blocks), ("deconv_tower", deep))
            names = ["after_stem", *(f"{tower}_{i}" for tower, count in towers for i in range(1, count + 1))]
            states = dict(zip(names, native, strict=True))
            states |= {
                "after_conv_tower": native[deep],
                "after_transformer": native[deep + blocks],
                "embedding": native[-1],
            }
            scores = network.logits(native[-1])
            states |= {"logits": scores, "probabilities": scores.softmax(-1)}
            states["attentions"] = torch.stack(list(found.attentions or ()), 1)
            if species is not None:
                cut = self._cut(ids.shape[1])
                middle, first = (
                    native[-1][:, cut : ids.shape[1] - cut],
                    network.shape.get("num_species_special_tokens", 6),
                )
                scores = network.bed_head.head(network.bed_head.layer_norm(middle)).unflatten(-1, (-1, 2))
                heads = network.bigwig_head.species_heads
                signal = middle.new_zeros(*middle.shape[:2], max((len(own.head.bias) for own in heads.values()), default=0))  # fmt: skip
                for row, one in enumerate(species.tolist()):
                    if str(one - first) in heads:
                        own = len(heads[str(one - first)].head.bias)
                        signal[row, :, :own] = network.tracks(middle[row : row + 1], one - first, range(own))[0]
                states |= {
                    "bigwig_tracks_logits": signal,
                    "bed_tracks_logits": scores,
                    "bed_probabilities": scores.softmax(-1)[..., 1],
                }
                states["species_logits_jax"] = network.conditions_heads[0](activated(native[deep + blocks].mean(1)))
        return {name: float32(state) for name, state in states.items() if name in expected}

    def _head(self) -> tuple[int, tuple[str, ...]]:
        """Index of the species' head of tracks, and the names of its tracks."""
        shape = self.module.shape
        if not self.elements:
            raise ValueError(f"{self.name} is pre-trained only and predicts no tracks. Load a model called ..._post.")
        if self.species == UNSEEN:
            return -1, ()
        names = tuple(map(str, shape["bigwigs_per_species"].get(self.species) or ()))
        return shape["species_to_token_id"][self.species] - shape.get("num_species_special_tokens", 6), names

    def _cut(self, length: int) -> int:
        return int((1 - self.module.shape.get("keep_target_center_fraction", 0.375)) * length) // 2

    def _embedding(self, sequence: str) -> tuple[torch.Tensor, int]:
        """The last state [1, base, width], N at the end included, and how many N were added."""
        ids = self._padded(self.tokenize(sequence))[0]
        with torch.inference_mode():
            states = self.read(torch.from_numpy(ids))
        filled = states.hidden.native[-1].shape[1] - ids.shape[1]  # type: ignore[attr-defined]
        return states.hidden.native[-1], filled  # type: ignore[attr-defined]

    def read(self, ids: torch.Tensor, *, attentions: bool = False) -> States:
        """States of ids [sequence, token] of one length, for the species of this model; see `NTv3Network.states`."""
        device = next(self.module.parameters()).device
        species = None
        if self.known_species:
            tokens = self.module.shape["species_to_token_id"]
            species = torch.tensor(tokens["<mask>" if self.species == UNSEEN else self.species], device=device)
        return self.module.states(ids.to(device), None, attentions=attentions, species=species)

    def _padded(self, batch: Any) -> tuple[np.ndarray, np.ndarray]:
        if not isinstance(batch, np.ndarray):
            several = [batch] if isinstance(batch, Tokens) else list(batch)
            batch = [self.tokenize(one.sequence) if isinstance(one, Bins) else one for one in several]
        ids, mask = super()._padded(batch)
        if isinstance(batch, np.ndarray) and not mask.all():
            raise ValueError(
                f"{self.name} was not trained on <pad>: pass Tokens, or ids of one length that are filled with N "
                f"(id {self.tokenizer.vocabulary.n_id})."
            )
        if (mask.sum(1) % self.module.step).any():
            tell(f"{self.name}: sequences are filled up with N on the right to multiples of {self.module.step} bp")
        return ids, mask

    def attended(self, n: int) -> int:
        return -(-n // self.module.step)

    def _passes(
        self, batch: Any, ids: np.ndarray, mask: np.ndarray, outputs: Sequence[str], at: np.ndarray | None
    ) -> Iterator[tuple[Any, States]]:
        """The sequences of one length after those of another: of padding the model knows nothing."""
        lengths = mask.sum(axis=1)
        for length in np.unique(lengths).tolist():
            rows = np.flatnonzero(lengths == length)
            yield rows, self.read(torch.from_numpy(ids[rows, :length]), attentions="attentions" in outputs)

    def _fresh(self) -> NTv3Network:
        return NTv3Network.fresh(self.module.shape)


def load(located: checkpoints.Located, max_tokens: int | None) -> NTv3:
    """NTv3 of either kind from a directory as published; a post-trained one is that of the first species, or of human."""
    config = read_config(located, _NUMBERS, _PUBLISHED)
    kind = config.get("model_type")
    if kind not in ("ntv3", "ntv3_posttrained") or "track_metadata" in config:
        raise refused(
            located,
            config,
            "model_type",
            "'ntv3' or 'ntv3_posttrained', as of 2025-12; the revised release of 2026 is not supported",
        )
    if config.get("deconv_upsample_type", "repeat+conv") not in ("repeat+conv", "conv_transpose"):
        raise refused(located, config, "deconv_upsample_type", "'repeat+conv' or 'conv_transpose'")
    if config["attention_heads"] * config["key_size"] != config["embed_dim"] or config["key_size"] % 2:
        raise refused(located, config, "key_size", "even, and embed_dim / attention_heads")
    if len(set(widths(config))) > 1:
        raise refused(located, config, "conv_init_embed_dim", f"{config['embed_dim']}, as embed_dim")
    if kind == "ntv3_posttrained":
        for key in (*_POST, "conditions_vocab_size"):
            if not config.get(key):
                raise refused(located, config, key, "given for a post-trained model")
        strange = [name for name in config["bigwigs_per_species"] if name not in config["species_to_token_id"]]
        if strange:
            raise refused(located, config, "species_to_token_id", f"a token for each species with tracks, {strange[0]!r} too")  # fmt: skip
    else:
        config = {key: value for key, value in config.items() if key not in _POST}
    given = checkpoints.read_tensors(located.directory)
    tensors = {name.removeprefix("core."): value for name, value in given.items()}
    with torch.device("meta"):
        module = NTv3Network(config)
    checkpoints.assign(module, tensors, origin=str(located.directory), unused=_UNUSED)
    step = module.step
    model = NTv3(module, Tokenizer("single-base"), located.name, limit(max_tokens, LONGEST, least=step), {})
    known = model.known_species
    return model.on("human" if "human" in known else known[0]) if known else model
