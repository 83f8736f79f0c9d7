"""Named checkpoints: their shapes, limits, licences and where each number was read. Imports no torch."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

CC_BY_NC_SA = "CC BY-NC-SA 4.0"
"""Licence of every published Nucleotide Transformer checkpoint: not for commercial use; derivatives carry it too."""


class LicenceNotice(UserWarning):
    """Says that the weights just loaded are not free for commercial use."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One named checkpoint: what its config.json must say, and what may be done with it.

    Attributes
    ----------
    name
        The short name that `models.load` takes.
    repository
        The hub repository, or the bundle's folder for a model that ships with ntviz.
    layers, heads, hidden, ffn
        Shape of the encoder; `ffn` is the width after the gate in gated models.
    max_tokens
        Longest input in tokens, `<cls>` included.
    vocabulary
        Name of the vocabulary in `ntviz.tokens`.
    rotary
        True for rotary positions and the gated FFN (v2), False for learned positions and GELU (v1).
    parameters
        Parameters of the masked language model, as published (with the position table that rotary models never use).
    licence
        Licence of the weights.
    source
        Where the configuration was read.
    """

    name: str
    repository: str
    layers: int
    heads: int
    hidden: int
    ffn: int
    max_tokens: int
    vocabulary: str
    rotary: bool
    token_dropout: bool
    parameters: int | None
    licence: str
    source: str

    @property
    def max_bp(self) -> int:
        """Longest N-free sequence in bp that fits with `<cls>`."""
        k = 3 if self.vocabulary == "nt-3mer" else 6
        return (self.max_tokens - 1) * k


def _v1(name: str, layers: int, hidden: int, ffn: int, parameters: int) -> ModelSpec:
    return ModelSpec(
        name, f"InstaDeepAI/nucleotide-transformer-{name.removeprefix('v1-')}", layers, 20, hidden, ffn, 1000,
        "nt-v1", False, True, parameters, CC_BY_NC_SA, "config.json of the hub repository",
    )  # fmt: skip


def _v2(name: str, layers: int, hidden: int, parameters: int, source: str) -> ModelSpec:
    return ModelSpec(
        name, f"InstaDeepAI/nucleotide-transformer-{name}-multi-species", layers, 16, hidden, 4 * hidden, 2048,
        "nt-v2", True, False, parameters, CC_BY_NC_SA, source,
    )  # fmt: skip


_READ = "config.json of the hub repository"
SPECS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            "ntviz-mini", "ntviz-mini", 4, 8, 256, 512, 256, "nt-v2", True, False, 4_803_372,
            "Apache-2.0", "trained by notebooks/10_pretraining.ipynb",
        ),
        _v1("v1-500m-human-ref", 24, 1280, 5120, 485_699_306),
        _v1("v1-500m-1000g", 24, 1280, 5120, 485_699_306),
        _v1("v1-2.5b-1000g", 32, 2560, 10240, 2_547_801_226),
        _v1("v1-2.5b-multi-species", 32, 2560, 10240, 2_547_801_226),
        _v2("v2-50m", 12, 512, 55_904_972, _READ),
        _v2("v2-100m", 22, 512, 97_889_132, _READ),
        _v2("v2-250m", 24, 768, 235_120_780, "shape inferred from the size of the weight file"),
        _v2("v2-500m", 29, 1024, 498_345_436, _READ),
        ModelSpec(
            "agro-nt-1b", "InstaDeepAI/agro-nucleotide-transformer-1b", 40, 20, 1500, 5120, 1024, "nt-v1", False,
            False, 991_261_206, CC_BY_NC_SA, _READ,
        ),
        ModelSpec(
            "v2-50m-3mer", "InstaDeepAI/nucleotide-transformer-v2-50m-3mer-multi-species", 12, 16, 512, 2048, 1000,
            "nt-3mer", True, False, None, CC_BY_NC_SA, "notebooks of the reference repository",
        ),
    )
}  # fmt: skip
"""Every named checkpoint. Sources: the hub's configuration files, and Dalla-Torre et al., Nature Methods 2025."""


@dataclass(frozen=True, slots=True)
class PeerSpec:
    """One named checkpoint of a model that the Nucleotide Transformer is compared with; see `ModelSpec`.

    Attributes
    ----------
    heads
        Attention heads a layer; 0 for a model without attention.
    max_tokens, max_bp
        Longest input in tokens, and the longest one in bp that fits for certain.
    wheel
        Package, version and folder of a checkpoint that a package on PyPI carries; it is found where it is installed.
    """

    name: str
    repository: str
    layers: int
    heads: int
    hidden: int
    max_tokens: int
    max_bp: int
    parameters: int
    licence: str
    source: str
    wheel: tuple[str, str, str] | None = None


PEERS: dict[str, PeerSpec] = {
    spec.name: spec
    for spec in (
        PeerSpec(
            "dnabert-2", "zhihan1996/DNABERT-2-117M", 12, 12, 768, 512, 510, 117_074_176,
            "Apache-2.0 (by the size of its LICENSE; read it)", _READ,
        ),
        PeerSpec(
            "hyenadna-1k", "LongSafari/hyenadna-tiny-1k-seqlen-hf", 2, 0, 128, 1026, 1024, 435_840,
            "BSD-3-Clause", "configuration of the hub repository, and Table A.1 of the paper",
        ),
        PeerSpec(
            "hyenadna-32k", "LongSafari/hyenadna-small-32k-seqlen-hf", 4, 0, 256, 32_770, 32_768, 3_277_568,
            "BSD-3-Clause", "configuration of the hub repository, and Table A.1 of the paper",
        ),
        PeerSpec(
            "enformer", "EleutherAI/enformer-official-rough", 11, 8, 1536, 1536, 196_608, 251_221_292,
            "CC BY 4.0", "config.json of the hub repository, and enformer-pytorch",
        ),
        PeerSpec(
            "ci-spliceai", "ci-spliceai", 16, 0, 160, 100_000, 100_000, 3_483_695, "CC BY 4.0; cite Strauch et al. 2022, PLOS ONE 17:e0269159",
            "the package cispliceai 1.2.2",
        ),
        PeerSpec(
            "spliceai-10k", "spliceai", 16, 0, 160, 100_000, 100_000, 3_483_695,
            "(c) Illumina, CC BY-NC 4.0: academic and non-commercial use; cite Jaganathan et al. 2019, Cell 176:535",
            "the package spliceai 1.3.1", ("spliceai", "1.3.1", "spliceai/models"),
        ),
    )
}  # fmt: skip
"""Every named checkpoint of a peer. Parameters are computed from the shape."""


def find(name: str) -> ModelSpec | PeerSpec | None:
    """The spec called `name` (a short name or a hub repository, upper or lower case), or None.

    >>> find("InstaDeepAI/nucleotide-transformer-v2-50m-multi-species").name
    'v2-50m'
    """
    wanted = name.lower()
    for spec in (*SPECS.values(), *PEERS.values()):
        if wanted in (spec.name, spec.repository.lower(), spec.repository.lower().rpartition("/")[2]):
            return spec
    return None


def suggestions(name: str) -> list[str]:
    """Up to three known short names that look like `name`."""
    return difflib.get_close_matches(name.lower(), [*SPECS, *PEERS], n=3, cutoff=0.3)
