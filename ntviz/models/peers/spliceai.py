"""SpliceAI-10k and CI-SpliceAI: dilated convolutions over single bases that predict splice sites. No remote code.

A checkpoint is an ensemble of five networks of one shape, whose probabilities are averaged. Position p is predicted from the bases
p - 5,000 to p + 5,000 and from nothing else, so that any way of cutting a sequence into pieces gives the same numbers.

References
----------
Jaganathan et al. (2019) Cell 176:535 (SpliceAI). Strauch et al. (2022) PLOS ONE 17:e0269159 (CI-SpliceAI). Ours is written from the
papers and from the layout of the published files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from ntviz.genome.sequence import clean, one_hot, reverse_complement
from ntviz.models import checkpoints
from ntviz.models.model import States, float32
from ntviz.models.peers.peer import Network, Peer, limit, read_config
from ntviz.models.peers.peer import one_hot as bases_of
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

_WIDTH, _EPSILON = 32, 0.001
# Length and dilation of the convolutions of four blocks each.
_SHAPES = ((11, 1), (11, 4), (21, 10), (41, 25))
_ONE_BY_ONE = (1, 2, 11, 20, 29, 38, 39)  # numbers of the Keras layers that are no part of a block
_TILE = 50_000  # positions predicted at once


@dataclass(frozen=True)
class SplicePrediction:
    """Probabilities of splice sites, averaged over the networks.

    Attributes
    ----------
    probabilities
        [sequence, position, 3] float32: none, acceptor (first base of an exon), donor (last base of an exon); in the order of the
        sequence on both strands.
    offset
        Bases from the start of a sequence to the first position: 5,000, or 0 where flanks were filled with N.
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
    beyond the ends of a sequence lies N. There is no vocabulary to predict: `mask_id`, logits and attention are refused.
    """

    module: SpliceEnsemble

    context: ClassVar[int] = CONTEXT
    without_logits: ClassVar[str] = "predicts splice sites: call `predict`"
    without_mask: ClassVar[str] = (
        "it reads one-hot bases and predicts splice sites. Put N where a base is to be hidden, or call `predict`."
    )

    def predict(
        self, sequences: str | Sequence[str], *, flanks: str = "given", strand: str = "+"
    ) -> SplicePrediction:
        """Probabilities of splice sites of sequences of one length, whatever the length.

        Parameters
        ----------
        sequences
            Bases; lower case is read as upper case. N is read as no base.
        flanks
            "given": the first and the last 5,000 bases are context, and have no prediction. "N": every base has one, and N lies beyond
            the ends.
        strand
            "+", or "-" for the sites of the reverse complement, in the order of the sequence all the same.
        """
        if flanks not in ("given", "N") or strand not in ("+", "-"):
            raise ValueError(
                f"flanks must be 'given' or 'N', and strand '+' or '-'; received {flanks!r} and {strand!r}. Choose one of each."
            )
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
        found = self.probabilities(bases.transpose(0, 2, 1), pad=flanks == "N")
        return SplicePrediction(found if strand == "+" else found[:, ::-1], 0 if flanks == "N" else CONTEXT)

    def probabilities(self, bases: np.ndarray, *, pad: bool = False) -> np.ndarray:
        """[sequence, position, 3] of one-hot bases [sequence, 4, base]; with `pad` for every base, else for all but 5,000 at each end."""
        one = next(self.module.parameters())
        bases = np.pad(bases, ((0, 0), (0, 0), (CONTEXT, CONTEXT))) if pad else bases
        n = bases.shape[2] - 2 * CONTEXT
        found = np.empty((len(bases), n, len(SPLICE_CLASSES)), np.float32)
        rows = max(1, _TILE // (n + 2 * CONTEXT))
        edges = [*range(0, n, _TILE), n]
        with torch.inference_mode():
            for row in range(0, len(bases), rows):
                for start, end in pairwise(edges):
                    part = torch.from_numpy(np.array(bases[row : row + rows, :, start : end + 2 * CONTEXT]))
                    logits = self.module(part.to(one))
                    found[row : row + rows, start:end] = float32(
                        logits.float().softmax(2).mean(0).transpose(1, 2)
                    )
        return found


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
        x = self.stem(x)
        cut, summed = 0, x.new_zeros(len(x), _WIDTH)
        for index in range(9):
            if index:
                length = x.shape[2]
                x = self.blocks[index - 1](x)
                cut += (length - x.shape[2]) // 2
            if index % 4 == 0 and 0 <= site - cut < x.shape[2]:
                summed = summed + self.skips[index // 4](x[:, :, site - cut, None])[..., 0]
        return x, summed

    def site(self, near: torch.Tensor, summed: torch.Tensor) -> torch.Tensor:
        """Logits [sequence, class] of the middle position, of what `near` gives for 10,001 bases.

        Exact: behind the eighth block only every fifth state, and behind the twelfth every 25th, leads to it, as the dilations are 10
        and 25.
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
        self.first, self.second = _Half(length, dilation), _Half(length, dilation)

    def forward(self, x: torch.Tensor, every: int = 1) -> torch.Tensor:
        """The next states, of states of which x has every so many."""
        new = self.second(self.first(x, every), every)
        return _middle(x, new.shape[2]) + new


class _Half(nn.Module):
    def __init__(self, length: int, dilation: int) -> None:
        super().__init__()
        self.norm, self.conv, self.dilation = _Norm(), nn.Conv1d(_WIDTH, _WIDTH, length), dilation

    def forward(self, x: torch.Tensor, every: int) -> torch.Tensor:
        x = torch.relu(self.norm(x))
        return nn.functional.conv1d(x, self.conv.weight, self.conv.bias, dilation=self.dilation // every)


class _Norm(nn.Module):
    """Batch normalisation by the statistics of training, always."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(_WIDTH)), nn.Parameter(torch.zeros(_WIDTH))
        self.running_mean = nn.Buffer(torch.zeros(_WIDTH))
        self.running_var = nn.Buffer(torch.ones(_WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=_EPSILON
        )


def _middle(x: torch.Tensor, n: int) -> torch.Tensor:
    start = (x.shape[2] - n) // 2
    return x[:, :, start : start + n]


class SpliceEnsemble(Network):
    """Networks whose probabilities are averaged."""

    heads = 0
    layers = 4 * len(_SHAPES)
    networks: Any

    def __init__(self, networks: int = 5) -> None:
        super().__init__()
        self.networks = nn.ModuleList(SpliceNetwork() for _ in range(networks))
        self.width = networks * _WIDTH

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [network, sequence, class, position] of one-hot bases [sequence, 4, position + 10,000]."""
        return torch.stack([network(x) for network in self.networks])

    def states(self, ids: torch.Tensor, mask: torch.Tensor, *, attentions: bool = False) -> States:
        """Hidden states [sequence, base, network x channel]; padding, and what lies beyond a sequence, is N."""
        bases = bases_of(ids, next(self.parameters()).dtype)
        x = nn.functional.pad(bases.transpose(1, 2), (CONTEXT, CONTEXT))
        parts = zip(*(network.states(x) for network in self.networks), strict=True)
        return States(
            [torch.cat([_middle(part, ids.shape[1]) for part in layer], 1).transpose(1, 2) for layer in parts]
        )


def load(located: checkpoints.Located, *, device: str, dtype: str, max_tokens: int | None) -> SpliceModel:
    """An ensemble, from safetensors with a config.json, or from the five .h5 files of the package spliceai.

    `max_tokens` limits what is embedded, by default 100,000 bp; `predict` takes any length.
    """
    directory = located.directory
    taken = limit(max_tokens, 100_000)
    if (directory / "config.json").is_file():
        config, tensors, weights = read_config(located), checkpoints.read_tensors(directory), ""
    else:
        config, tensors = {}, dict(_published(directory))
        weights = hashlib.sha256("".join(FILES.values()).encode()).hexdigest()
    held = len({name.split(".")[1] for name in tensors if name.startswith("networks.")})
    return SpliceModel.filled(
        located, tensors, Tokenizer("single-base"), partial(SpliceEnsemble, config.get("networks", held)),
        max_tokens=taken, device=device, dtype=dtype, weights=weights,
    )  # fmt: skip


def _published(directory: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors of the published Keras files, whose SHA-256 are held to the known ones."""
    for network, (name, known) in enumerate(FILES.items()):
        path = directory / name
        if not path.is_file():
            raise FileNotFoundError(
                f"{directory} must hold {', '.join(FILES)}; there is no {name}. Unpack the package spliceai 1.3.1 again."
            )
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != known:
            raise ValueError(
                f"{path} must be the published network, SHA-256 {known}; received {found}. It is damaged or another one: "
                "pip install --force-reinstall --no-deps spliceai==1.3.1."
            )
        for key, value in read_h5(path).items():
            yield f"networks.{network}.{key}", value


def read_h5(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a network from a Keras file, named as `SpliceNetwork` names them; nothing in the file is run."""
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{path.name} is a Keras file, which h5py reads. Run pip install h5py."
        ) from error
    try:
        with h5py.File(path, "r") as file:
            arrays = {
                name: np.asarray(file[f"model_weights/{layer}/{layer}/{part}:0"])
                for name, (layer, part) in keras_names().items()
            }
    except (OSError, KeyError) as error:
        raise ValueError(
            f"{path} must be a whole Keras file of SpliceAI-10k; reading it failed: {str(error).splitlines()[0]}. "
            "It is truncated or another network: download it again."
        ) from error
    return {
        name: torch.from_numpy(values.transpose(2, 1, 0).copy() if values.ndim == 3 else values)
        for name, values in arrays.items()
    }


def keras_names() -> dict[str, tuple[str, str]]:
    """Layer and array in a Keras file of SpliceAI-10k, by the name of the tensor in `SpliceNetwork`."""
    trunk = iter(number for number in range(1, 40) if number not in _ONE_BY_ONE)
    stem, *skips, head = _ONE_BY_ONE
    convolutions = {"stem": stem, "head": head, **{f"skips.{i}": number for i, number in enumerate(skips)}}
    keras_norm = {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    }
    names = {}
    for block in range(4 * len(_SHAPES)):
        for half, part in enumerate(("first", "second")):
            convolutions[f"blocks.{block}.{part}.conv"] = next(trunk)
            layer = f"batch_normalization_{2 * block + half + 1}"
            names |= {
                f"blocks.{block}.{part}.norm.{own}": (layer, keras) for own, keras in keras_norm.items()
            }
    for name, number in convolutions.items():
        names |= {
            f"{name}.{own}": (f"conv1d_{number}", keras)
            for own, keras in (("weight", "kernel"), ("bias", "bias"))
        }
    return names
