"""Named checkpoints: their shapes, limits and licences, and what a model was trained on. Imports no torch."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ntviz.genome import Interval, canonical_contig

OPEN_MODEL = (
    "InstaDeep Open Model Licence: non-commercial, and its terms cover the outputs too; read it on the model's page"
)
"""Licence of every published NTv3 checkpoint, which are given out on request only."""
CC_BY_NC_SA = "CC BY-NC-SA 4.0"
"""Licence of every published Nucleotide Transformer checkpoint: not for commercial use; derivatives carry it too."""


class LicenceNotice(UserWarning):
    """Says that the weights just loaded are not free for commercial use."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One named checkpoint of a Nucleotide Transformer: its shape, limits and licence.

    `repository` is the hub's, or the bundle's folder; `ffn` the width of the feed-forward part, after the gate in gated models;
    `max_tokens` count `<cls>`. `rotary` means rotary positions and the gated FFN (v2), else learned positions and GELU (v1).
    `parameters` are as published, with the position table that rotary models never use.
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

    @property
    def max_bp(self) -> int:
        """Longest N-free sequence in bp that fits with `<cls>`."""
        k = 3 if self.vocabulary == "nt-3mer" else 6
        return (self.max_tokens - 1) * k


def _v1(name: str, layers: int, hidden: int, ffn: int, parameters: int) -> ModelSpec:
    repository = f"InstaDeepAI/nucleotide-transformer-{name.removeprefix('v1-')}"
    return ModelSpec(name, repository, layers, 20, hidden, ffn, 1000, "nt-v1", False, True, parameters, CC_BY_NC_SA)


def _v2(name: str, layers: int, hidden: int, parameters: int) -> ModelSpec:
    repository = f"InstaDeepAI/nucleotide-transformer-{name}-multi-species"
    return ModelSpec(
        name, repository, layers, 16, hidden, 4 * hidden, 2048, "nt-v2", True, False, parameters, CC_BY_NC_SA
    )


SPECS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec("ntviz-mini", "ntviz-mini", 4, 8, 256, 512, 256, "nt-v2", True, False, 4_803_372, "Apache-2.0"),
        _v1("v1-500m-human-ref", 24, 1280, 5120, 485_699_306),
        _v1("v1-500m-1000g", 24, 1280, 5120, 485_699_306),
        _v1("v1-2.5b-1000g", 32, 2560, 10240, 2_547_801_226),
        _v1("v1-2.5b-multi-species", 32, 2560, 10240, 2_547_801_226),
        _v2("v2-50m", 12, 512, 55_904_972),
        _v2("v2-100m", 22, 512, 97_889_132),
        _v2("v2-250m", 24, 768, 235_120_780),  # the shape inferred from the size of the weight file
        _v2("v2-500m", 29, 1024, 498_345_436),
        ModelSpec(
            "agro-nt-1b", "InstaDeepAI/agro-nucleotide-transformer-1b", 40, 20, 1500, 5120, 1024, "nt-v1", False,
            False, 991_261_206, CC_BY_NC_SA,
        ),
        # By the notebooks of the reference repository.
        ModelSpec(
            "v2-50m-3mer", "InstaDeepAI/nucleotide-transformer-v2-50m-3mer-multi-species", 12, 16, 512, 2048, 1000,
            "nt-3mer", True, False, None, CC_BY_NC_SA,
        ),
    )
}  # fmt: skip
"""Every named checkpoint. Sources: the hub's configuration files, and Dalla-Torre et al., Nature Methods 2025."""


@dataclass(frozen=True, slots=True)
class PeerSpec:
    """One named checkpoint of a model that the Nucleotide Transformer is compared with; see `ModelSpec`.

    `heads` is 0 without attention, `max_bp` fit for certain, `wheel` is the package, version and folder of what PyPI carries.
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
    wheel: tuple[str, str, str] | None = None


def _ntv3(name: str, layers: int, heads: int, hidden: int, parameters: int, *, down: int = 7) -> PeerSpec:
    longest = next((bp for end, bp in (("_8kb", 8_192), ("_131kb", 131_072)) if name.endswith(end)), 1_048_576)
    return PeerSpec(
        name.lower(), f"InstaDeepAI/{name}", layers + 2 * down, heads, hidden, longest, longest, parameters, OPEN_MODEL
    )


PEERS: dict[str, PeerSpec] = {
    spec.name: spec
    for spec in (
        PeerSpec(
            "dnabert-2", "zhihan1996/DNABERT-2-117M", 12, 12, 768, 512, 510, 117_074_176,
            "Apache-2.0 (by the size of its LICENSE; read it)",
        ),
        PeerSpec("hyenadna-1k", "LongSafari/hyenadna-tiny-1k-seqlen-hf", 2, 0, 128, 1026, 1024, 435_840, "BSD-3-Clause"),
        PeerSpec(
            "hyenadna-32k", "LongSafari/hyenadna-small-32k-seqlen-hf", 4, 0, 256, 32_770, 32_768, 3_277_568, "BSD-3-Clause"
        ),
        PeerSpec("enformer", "EleutherAI/enformer-official-rough", 11, 8, 1536, 1536, 196_608, 251_221_292, "CC BY 4.0"),
        PeerSpec(
            "ci-spliceai", "ci-spliceai", 16, 0, 160, 100_000, 100_000, 3_483_695,
            "CC BY 4.0; cite Strauch et al. 2022, PLOS ONE 17:e0269159",
        ),
        PeerSpec(
            "spliceai-10k", "spliceai", 16, 0, 160, 100_000, 100_000, 3_483_695,
            "(c) Illumina, CC BY-NC 4.0: academic and non-commercial use; cite Jaganathan et al. 2019, Cell 176:535",
            ("spliceai", "1.3.1", "spliceai/models"),
        ),
        *(
            PeerSpec(name, f"InstaDeepAI/{name}", 29, 16, 1024, 5_001, 30_000, 559_330_937, CC_BY_NC_SA)
            for name in ("segment_nt", "segment_nt_multi_species")
        ),
        *(_ntv3(f"NTv3_8M_pre{stage}", 2, 8, 256, 7_692_475) for stage in ("", "_8kb")),
        *(_ntv3(f"NTv3_100M_pre{stage}", 6, 12, 768, 106_463_419) for stage in ("", "_8kb")),
        *(_ntv3(f"NTv3_650M_pre{stage}", 12, 24, 1536, 651_829_435) for stage in ("", "_8kb")),
        *(_ntv3(f"NTv3_100M_post{stage}", 6, 12, 768, 120_058_868) for stage in ("", "_131kb")),
        *(_ntv3(f"NTv3_650M_post{stage}", 12, 24, 1536, 679_787_252) for stage in ("", "_131kb")),
        *(_ntv3(f"NTv3_5downsample_pre{stage}", 12, 24, 1536, 595_169_467, down=5) for stage in ("", "_8kb")),
        *(_ntv3(f"NTv3_5downsample_post{stage}", 12, 24, 1536, 622_605_044, down=5) for stage in ("", "_131kb")),
    )
}  # fmt: skip
"""Every named checkpoint of a peer. Sources: their configuration files, Table A.1 of the HyenaDNA paper, enformer-pytorch, and the
packages cispliceai 1.2.2 and spliceai 1.3.1. Parameters are computed from the shape."""


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


_PAPER = {
    "human-ref": "the human reference genome, all chromosomes",
    "1000g": "3,202 human genomes (1000 Genomes), all human chromosomes",
    "multi-species": "850 genomes of several species, all human chromosomes among them",
}
"""Training data of the Nucleotide Transformers by the end of their names (Dalla-Torre et al., Nature Methods 2025)."""

_SPLICEAI = "human chromosomes " + ", ".join(map(str, (2, 4, 6, 8, *range(10, 23), "X", "Y")))
"""Jaganathan et al. 2019; tested on 1, 3, 5, 7 and 9."""


def corpus(directory: Path, repository: str = "") -> dict[str, str]:
    """What a checkpoint was trained on, as text: corpus, held_out and machine, each where it is known."""
    for name, key in (("training.json", "facts"), ("config.json", "trained_on")):
        try:
            stated = json.loads((directory / name).read_text(encoding="utf-8"))[key]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if isinstance(stated, str):
            return {"corpus": stated}
        if isinstance(stated, dict):
            return {key: str(stated[key]) for key in ("corpus", "held_out", "machine") if key in stated}
    if (directory / "spliceai1.h5").is_file():
        return {"corpus": _SPLICEAI}
    return next(({"corpus": text} for end, text in _PAPER.items() if repository.endswith(end)), {})


def seen(info: dict[str, Any], place: Interval) -> str:
    """A sentence: whether a place, 0-based half-open, lies in what a model was trained on, by the `info` of the loaded model.

    >>> mini = {"name": "mini", "training": {"corpus": "contig 20 of a.fa", "held_out": "chr20:101-200"}}
    >>> seen(mini, Interval("chr20", 120, 130))
    'chr20:121-130 was held out of the training of mini, which has never seen it.'
    >>> seen(mini, Interval("chr20", 10, 30))
    'chr20:11-30 lies in the training data of mini (contig 20 of a.fa).'
    >>> seen({"name": "x"}, Interval("chr20", 10, 30))
    'What x was trained on is not stated.'
    """
    name, training = info["name"], info.get("training") or {}
    text = training.get("corpus", "")
    if not text:
        return f"What {name} was trained on is not stated."
    contig, where = canonical_contig(place.chrom), place.label()
    listed = re.split(r"[;,] (?=\w+:)", training.get("held_out", ""))
    held_out = [Interval.from_str(part) for part in listed if ":" in part]
    near = [
        part
        for part in held_out
        if canonical_contig(part.chrom) == contig and part.start < place.end and part.end > place.start
    ]
    if any(part.start <= place.start and place.end <= part.end for part in near):
        return f"{where} was held out of the training of {name}, which has never seen it."
    named = re.search(r"human chromosomes ([\w, ]+)", text)
    contigs = [*re.findall(r"contig (\S+) of", text), *(named[1].split(", ") if named else [])]
    known = contig in map(canonical_contig, contigs)
    if not known and "all human chromosomes" not in text and "all chromosomes" not in text:
        return f"{where} is not among what {name} was trained on ({text})."
    return f"{where} lies {'in part ' if near else ''}in the training data of {name} ({text})."
