"""SpliceAI-10k and CI-SpliceAI: dilated convolutions over single bases that predict splice sites. No remote code.

Five networks of one shape, whose probabilities are averaged. Position p is predicted from the bases p - 5,000 to p + 5,000 alone, so
that any way of cutting a sequence into pieces gives the same numbers.

References
----------
Jaganathan et al. (2019) Cell 176:535 (SpliceAI). Strauch et al. (2022) PLOS ONE 17:e0269159 (CI-SpliceAI).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise, product
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ntviz.environment import need, opened
from ntviz.genome.sequence import clean, one_hot, reverse_complement
from ntviz.models import checkpoints
from ntviz.models.model import States, float32
from ntviz.models.peers import peer
from ntviz.models.peers.peer import BatchNorm, Network, Peer, limit, parts, read_config
from ntviz.models.protocol import SPLICE_CLASSES
from ntviz.tokens import Tokenizer

CONTEXT = 5_000
"""Bases on each side of a position that its prediction follows from."""
FILES = {
    "spliceai1.h5": "e1fd5adcef7489d604b10e79c40078ef790d51ef048c4ce3869c9119ac5de42b",
    "spliceai2.h5": "6ab042b82ab966b6d3582cb31b96f0859ea08a864f168d69e83aa14450a3b66e",
    "spliceai3.h5": "e2e790bde53dfdf410c6dc434a86122a7d12f3f38dc2ef45d85986e9ecf22fad",
    "spliceai4.h5": "ca88ac9e58e69ba6fdeed319b72f063f164c9abf7392eaccef903e94c1d99dd6",
    "spliceai5.h5": "791cd22c62a80a08d2ca674615a93ce8159d7b55bd157cfef2983b1bd6b41391",
}
"""The published networks and their SHA-256."""

_WIDTH = 32
# Length and dilation of the convolutions of four blocks each.
_SHAPES = ((11, 1), (11, 4), (21, 10), (41, 25))
_ONE_BY_ONE = (1, 2, 11, 20, 29, 38, 39)  # numbers of the Keras layers that are no part of a block
_TILE = 50_000  # positions predicted at once


@dataclass(frozen=True)
class SplicePrediction:
    """Probabilities of splice sites, averaged over the networks.

    `probabilities` are [sequence, position, 3] float32: none, acceptor (first base of an exon), donor (last base of an exon); in the
    order of the sequence on both strands. `offset` is the number of bases from the start of a sequence to the first position.
    """

    probabilities: np.ndarray
    offset: int

    @property
    def acceptor(self) -> np.ndarray:
        """[sequence, position] probability of an acceptor."""
        return self.probabilities[..., 1]

    @property
    def donor(self) -> np.ndarray:
        """[sequence, position] probability of a donor."""
        return self.probabilities[..., 2]


@dataclass(frozen=True, repr=False)
class SpliceModel(Peer):
    """A loaded ensemble; implements `models.Embedder`, with bases for tokens, and `predict`.

    Hidden states are those after the first convolution (0) and after each of the 16 blocks, those of the five networks side by side;
    beyond the ends of a sequence lies N.
    """

    module: SpliceEnsemble

    context: ClassVar[int] = CONTEXT
    without_logits: ClassVar[str] = "predicts splice sites: call `predict`"
    without_mask: ClassVar[str] = "it predicts splice sites. Put N where a base is to be hidden."

    def predict(self, sequences: str | Sequence[str], *, flanks: str = "given", strand: str = "+") -> SplicePrediction:
        """Probabilities of splice sites of sequences of one length, whatever the length; N is read as no base.

        Parameters
        ----------
        flanks
            "given": the first and the last 5,000 bases are context, and have no prediction. "N": every base has one, and N lies beyond
            the ends.
        strand
            "+", or "-" for the sites of the reverse complement, in the order of the sequence all the same.
        """
        if flanks not in ("given", "N") or strand not in ("+", "-"):
            raise ValueError(f"flanks must be 'given' or 'N', strand '+' or '-'; received {flanks!r} and {strand!r}.")
        sequences = [sequences] if isinstance(sequences, str) else sequences
        texts = [clean(text, typed=True).sequence for text in sequences]
        lengths = sorted({len(text) for text in texts})
        if len(lengths) != 1:
            received = ", ".join(f"{length:,} bp" for length in lengths[:3]) or "none"
            raise ValueError(f"Sequences must have one length; received {received}. Pass them one by one.")
        if flanks == "given" and lengths[0] <= 2 * CONTEXT:
            raise ValueError(
                f"A sequence must have more than {2 * CONTEXT:,} bp, since {CONTEXT:,} at each end are context; received "
                f"{lengths[0]:,} bp. Take a longer interval, or pass flanks='N'."
            )
        bases = np.stack([one_hot(text if strand == "+" else reverse_complement(text)) for text in texts])
        sites = self.probabilities(bases.transpose(0, 2, 1), pad=flanks == "N")
        return SplicePrediction(sites if strand == "+" else sites[:, ::-1], 0 if flanks == "N" else CONTEXT)

    def probabilities(self, bases: np.ndarray, *, pad: bool = False) -> np.ndarray:
        """[sequence, position, 3] of one-hot bases [sequence, 4, base]; with `pad` for every base, else for all but 5,000 at each end."""
        one = next(self.module.parameters())
        bases = np.pad(bases, ((0, 0), (0, 0), (CONTEXT, CONTEXT))) if pad else bases
        n = bases.shape[2] - 2 * CONTEXT
        sites = np.empty((len(bases), n, len(SPLICE_CLASSES)), np.float32)
        rows = max(1, _TILE // (n + 2 * CONTEXT))
        with torch.inference_mode():
            for row, (start, end) in product(range(0, len(bases), rows), pairwise([*range(0, n, _TILE), n])):
                part = torch.from_numpy(np.array(bases[row : row + rows, :, start : end + 2 * CONTEXT]))
                mean = self.module(part.to(one)).float().softmax(2).mean(0)
                sites[row : row + rows, start:end] = float32(mean.transpose(1, 2))
        return sites


class SpliceNetwork(nn.Module):
    """One of the networks: 16 residual blocks of two convolutions, whose states are summed up after every fourth block."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(4, _WIDTH, 1)
        self.blocks = nn.ModuleList(_Block(*shape) for shape in _SHAPES for _ in range(4))
        self.skips = nn.ModuleList(nn.Conv1d(_WIDTH, _WIDTH, 1) for _ in range(len(_SHAPES) + 1))
        self.head = nn.Conv1d(_WIDTH, len(SPLICE_CLASSES), 1)

    def states(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        """States [sequence, channel, position] after the stem and each block; a block shortens them at both ends alike."""
        x = self.stem(x)
        yield x
        for block in self.blocks:
            x = block(x)
            yield x

    def near(self, x: torch.Tensor, site: int) -> tuple[torch.Tensor, torch.Tensor]:
        """States behind the first eight blocks, 200 positions shorter at each end, and the sum of the skips at a site so far.

        `x` are one-hot bases [sequence, 4, position]; where the site lies in the 200 at an end the sum is nothing.
        """
        state, summed = x, x.new_zeros(len(x), _WIDTH)
        for index, state in enumerate(islice(self.states(x), 9)):
            place = site - (x.shape[2] - state.shape[2]) // 2
            if index % 4 == 0 and 0 <= place < state.shape[2]:
                summed = summed + self.skips[index // 4](state[:, :, place, None])[..., 0]
        return state, summed

    def site(self, near: torch.Tensor, summed: torch.Tensor) -> torch.Tensor:
        """Logits [sequence, class] of the middle position, of what `near` gives for 10,001 bases.

        Exact: as the dilations are 10 and 25, only every fifth state leads to it behind the eighth block, every 25th behind the twelfth.
        """
        x = near
        for index, every in ((2, 5), (3, 25)):
            x = x[:, :, x.shape[2] // 2 % 5 :: 5]
            for block in self.blocks[4 * index : 4 * index + 4]:
                x = block(x, every)
            summed = summed + self.skips[index + 1](_middle(x, 1))[..., 0]
        return self.head(summed[..., None])[..., 0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [sequence, class, position] of one-hot bases [sequence, 4, position + 10,000]."""
        n = x.shape[2] - 2 * CONTEXT
        summed = 0
        for index, state in enumerate(self.states(x)):
            if index % 4 == 0:
                summed = summed + self.skips[index // 4](_middle(state, n))
        return self.head(summed)


class _Block(nn.Module):
    def __init__(self, length: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.first, self.second = (parts(norm=_Norm(), conv=nn.Conv1d(_WIDTH, _WIDTH, length)) for _ in range(2))

    def forward(self, x: torch.Tensor, every: int = 1) -> torch.Tensor:
        """The next states, of states of which x has every so many."""
        new = x
        for half in (self.first, self.second):
            weight, bias = half.conv.weight, half.conv.bias
            new = functional.conv1d(torch.relu(half.norm(new)), weight, bias, dilation=self.dilation // every)
        return _middle(x, new.shape[2]) + new


class _Norm(BatchNorm):
    """By the statistics of training, always."""

    def __init__(self) -> None:
        super().__init__(_WIDTH, eps=0.001)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        return super().train(False)


def _middle(x: torch.Tensor, n: int) -> torch.Tensor:
    start = (x.shape[2] - n) // 2
    return x[:, :, start : start + n]


class SpliceEnsemble(Network):
    """Networks whose probabilities are averaged."""

    layers = 4 * len(_SHAPES)
    networks: Any

    def __init__(self, shape: dict[str, Any]) -> None:
        super().__init__(shape)
        self.networks = nn.ModuleList(SpliceNetwork() for _ in range(shape["networks"]))
        self.width = len(self.networks) * _WIDTH

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [network, sequence, class, position] of one-hot bases [sequence, 4, position + 10,000]."""
        return torch.stack([network(x) for network in self.networks])

    def states(self, ids: torch.Tensor, mask: torch.Tensor, *, attentions: bool = False) -> States:
        """Hidden states [sequence, base, network x channel]; padding, and what lies beyond a sequence, is N."""
        bases, n = peer.one_hot(ids, next(self.parameters()).dtype), ids.shape[1]
        x = functional.pad(bases.transpose(1, 2), (CONTEXT, CONTEXT))
        layers = zip(*(network.states(x) for network in self.networks), strict=True)
        return States([torch.cat([_middle(state, n) for state in layer], 1).transpose(1, 2) for layer in layers])


def load(located: checkpoints.Located, max_tokens: int | None) -> SpliceModel:
    """An ensemble, from safetensors with a config.json, or from the five .h5 files of the package spliceai.

    `max_tokens` limits what is embedded, by default 100,000 bp; `predict` takes any length.
    """
    directory, info = located.directory, {}
    taken = limit(max_tokens, 100_000)
    if (directory / "config.json").is_file():
        config, tensors = read_config(located), checkpoints.read_tensors(directory)
    else:
        config, tensors = {}, dict(_published(directory))
        info["weights_sha256"] = hashlib.sha256("".join(FILES.values()).encode()).hexdigest()
    held = len({name.split(".")[1] for name in tensors if name.startswith("networks.")})
    shape = {"networks": config.get("networks", held)}
    return SpliceModel.filled(located, SpliceEnsemble, shape, tensors, Tokenizer("single-base"), taken, **info)


def _published(directory: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors of the published Keras files, whose SHA-256 are held to the known ones."""
    for network, (name, known) in enumerate(FILES.items()):
        path = directory / name
        if not path.is_file():
            raise FileNotFoundError(
                f"{directory} must hold {', '.join(FILES)}; there is no {name}. Unpack spliceai 1.3.1 again."
            )
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != known:
            raise ValueError(
                f"{path} must be the published network, SHA-256 {known}; received {digest}: "
                "pip install --force-reinstall --no-deps spliceai==1.3.1."
            )
        for key, value in read_h5(path).items():
            yield f"networks.{network}.{key}", value


def read_h5(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a network from a Keras file, named as `SpliceNetwork` names them; nothing in the file is run."""
    h5py = need("h5py", "benchmark")
    try:
        with h5py.File(opened(path), "r") as file:
            arrays = {
                name: np.asarray(file[f"model_weights/{layer}/{layer}/{part}:0"])
                for name, (layer, part) in keras_names().items()
            }
    except (OSError, KeyError) as error:
        raise ValueError(
            f"{path} must be a Keras file of SpliceAI-10k; it is truncated or another network: {str(error).splitlines()[0]}."
        ) from error
    return {
        name: torch.from_numpy(values.transpose(2, 1, 0).copy() if values.ndim == 3 else values)
        for name, values in arrays.items()
    }


def keras_names() -> dict[str, tuple[str, str]]:
    """Layer and array in a Keras file of SpliceAI-10k, by the name of the tensor in `SpliceNetwork`."""
    keras = {
        "conv": {"weight": "kernel", "bias": "bias"},
        "norm": {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"},
    }
    stem, *skips, head = _ONE_BY_ONE
    trunk = iter(number for number in range(1, 40) if number not in _ONE_BY_ONE)
    layers = {"stem": stem, "head": head} | {f"skips.{index}": number for index, number in enumerate(skips)}
    layers = {name: ("conv", f"conv1d_{number}") for name, number in layers.items()}
    for half in range(8 * len(_SHAPES)):
        part = f"blocks.{half // 2}.{('first', 'second')[half % 2]}"
        layers[f"{part}.norm"] = ("norm", f"batch_normalization_{half + 1}")
        layers[f"{part}.conv"] = ("conv", f"conv1d_{next(trunk)}")
    return {
        f"{name}.{own}": (layer, array) for name, (kind, layer) in layers.items() for own, array in keras[kind].items()
    }
