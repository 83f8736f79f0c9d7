"""What is scored and how: the scores by name, with units and directions, and the options that make a run what it is."""

from __future__ import annotations

import operator
from dataclasses import asdict, dataclass
from typing import Any

ON_MISMATCH = ("skip", "flag", "swap", "fail")
PAPER_WINDOW = 6_000
"""bp around a variant in the paper; longer windows only on request."""


@dataclass(frozen=True)
class Score:
    """A score: its name in tables, unit, what its direction means, and how it is computed, of indels too."""

    name: str
    unit: str
    direction: str
    description: str
    indels: str = "none"

    @property
    def key(self) -> str:
        """Its key in VCF."""
        return f"NTV_{self.name.upper()}"


INDELS = (
    "over ceil(L/k)+1 tokens of k bp, L bp being the longer allele, trimmed and left-aligned: from the token that holds the first "
    "changed base, in windows of both alleles that begin at the same base; and up to the token that holds the last changed base, in "
    "windows that end at the same base; mean of the two"
)
"""Which tokens scores of insertions, deletions and delins are of."""
_LESS = "negative: the alternative is less expected than the reference"
_FAR = "larger: the alleles are further apart"
_MEANS = f"the mean (with the region token) is {INDELS}"
_PAIR = "reference and alternative embedding"
_TOUCHED = "mean -log p(token) of the tokens that the change touches, nothing masked, with the alternative"

SCORES = {score.name: score for score in (
    Score("llr", "nats", _LESS,
        "log p(alternative) - log p(reference) of the token that holds the base, that token masked; of an MNV summed over all "
        "tokens that it touches, masked together",
        f"sum of log p(token), each token masked by itself, alternative minus reference, {INDELS}"),
    Score("base_llr", "nats", _LESS,
        "the same for the single base, summed over the other bases of the masked token; substitutions only"),
    Score("wt_llr", "nats", _LESS,
        "wild-type marginal: as llr with nothing masked, both alleles read off the reference's sequence, an approximation",
        f"sum of log p(token), nothing masked, each allele read in its own sequence, alternative minus reference, {INDELS}"),
    Score("entropy", "nats", "smaller: the model is surer of the base; 0 to log 4 = 1.386",
        "entropy of the four bases at the site, its token masked; substitutions only"),
    Score("l1", "a.u.", _FAR, f"L1 distance of {_PAIR}", _MEANS),
    Score("l2", "a.u.", _FAR, f"L2 distance of {_PAIR}", _MEANS),
    Score("cosine", "-1 to 1", "smaller: the alleles are further apart", f"cosine similarity of {_PAIR}", _MEANS),
    Score("dot", "a.u.", "smaller: the alleles are further apart, or their embeddings shorter", f"dot product of {_PAIR}", _MEANS),
    Score("alt_loss", "nats per token", "larger: the alternative is less expected", _TOUCHED, _MEANS),
    Score("loss_diff", "nats per token", "positive: the alternative is less expected than the reference",
        f"{_TOUCHED} minus with the reference", _MEANS),
    Score("jsd", "nats", "larger: the alternative changes more of what the model predicts elsewhere; 0 to log 2 = 0.693",
        "mean Jensen-Shannon divergence of the predicted A, C, G, T at the bases of the window outside of the tokens that the "
        "change touches",
        f"outside of the tokens of llr, the shift of the frame included; those are {INDELS.removeprefix('over ')}"),
)}  # fmt: skip
DEFAULT = ("llr", "base_llr", "entropy", "l2", "jsd")

MASKED = ("llr", "base_llr", "entropy")
"""Scores that come from readings with a token masked; the others come from whole sequences of both alleles."""


@dataclass(frozen=True)
class Options:
    """How alleles are scored. Equal options and equal content give equal scores.

    Parameters
    ----------
    scores
        Names from `SCORES`.
    frames
        1, or the bases of a token (6): the variant then stands at each place of its token in turn; the scores are means
        over these, and their standard deviation is reported.
    place
        With one frame, the place of the variant's first base in its token, from 0. None puts tokens on a grid that starts at
        the contig's first base, so that neighbours share a reading.
    window
        bp read around a token, made an odd number of tokens; None takes what the model reads, at most 6,000.
    layer
        Hidden states that embeddings come from: 0 to `layers`; None takes the last.
    region
        Tokens whose mean is the embedding and the loss: "token" (those that the change touches), "window" (all), or a
        number of tokens to each side of "token".
    both_strands
        Scores are the mean over both strands; otherwise of the forward strand alone.
    on_mismatch
        A REF that is not the reference's: "skip" gives a status and no score; "flag" scores with the record's REF in
        place of the reference's bases; "swap" does so for substitutions whose ALT is what the reference has; "fail" ends
        the run.
    """

    scores: tuple[str, ...] = DEFAULT
    frames: int = 1
    place: int | None = None
    window: int | None = None
    layer: int | None = None
    region: str | int = "token"
    both_strands: bool = True
    on_mismatch: str = "skip"

    def __post_init__(self) -> None:
        for name in ("frames", "place", "window", "layer"):
            object.__setattr__(self, name, _whole(name, getattr(self, name)))
        if not isinstance(self.both_strands, bool):
            raise TypeError(f"both_strands must be True or False; received {self.both_strands!r}. Pass one of these.")
        scores = (self.scores,) if isinstance(self.scores, str) else tuple(self.scores)
        scores = tuple(SCORES) if scores == ("all",) else tuple(dict.fromkeys(scores))
        object.__setattr__(self, "scores", scores)
        unknown = [name for name in scores if name not in SCORES] or ["none"] * (not scores)
        number = type(self.region) is int and self.region >= 0
        check(
            (not unknown, f"scores must be among {', '.join(SCORES)}, or all", (unknown or [""])[0], "Name at least one of these."),
            (self.on_mismatch in ON_MISMATCH, f"on_mismatch must be one of {', '.join(ON_MISMATCH)}", self.on_mismatch,
             "Use one of these."),
            (number or self.region in ("token", "window"), "region must be 'token', 'window' or a number of tokens to each side",
             self.region, "Use one of these."),
            (self.place is None or self.frames == 1, "place goes with frames=1 only", {"frames": self.frames, "place": self.place},
             "Leave place out: all of them are read."),
        )  # fmt: skip

    def fit(self, k: int, max_bp: int, layers: int, name: str) -> tuple[int, int]:
        """Tokens of a window, an odd number, and the layer, for a model of these sizes; refuses what does not fit it."""
        bp = min(max_bp, PAPER_WINDOW) if self.window is None else self.window
        layer = layers if self.layer is None else self.layer
        check(
            (self.frames in (1, k), f"frames must be 1 or {k}, the bases of a token of {name}", self.frames, "Use one of these."),
            (self.place is None or 0 <= self.place < k, f"place must be in 0 to {k - 1} for tokens of {k} bp", self.place,
             "Use one of these, or None."),
            (3 * k <= bp <= max_bp, f"window must be {3 * k} to {max_bp:,} bp for {name}", bp, "Choose one in between."),
            (0 <= layer <= layers, f"layer must be 0 (the embedding) to {layers} (after the last block) for {name}", layer,
             "Use one of these."),
        )  # fmt: skip
        return (bp // k - 1) // 2 * 2 + 1, layer

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of each score: itself, its value on each strand, forward minus reverse, the spread over frames."""
        endings = ["", "_fwd", "_rev", "_gap"] if self.both_strands else [""]
        endings += ["_spread"] if self.frames > 1 else []
        return tuple(name + ending for name in self.scores for ending in endings)

    @property
    def about(self) -> dict[str, Any]:
        """The options as plain data."""
        return asdict(self) | {"scores": list(self.scores)}


def _whole(name: str, value: Any) -> int | None:
    """The value as an int; NumPy's integers too."""
    if value is None and name != "frames":
        return None
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name} must be a whole number; received {value!r}. Pass an int{'' if name == 'frames' else ', or None'}."
        ) from None


def check(*rules: tuple[bool, str, Any, str]) -> None:
    """Refuses what breaks a rule: (whether it holds, what must hold, what came, what to do)."""
    for holds, must, came, advice in rules:
        if not holds:
            raise ValueError(f"{must}; received {came!r}. {advice}")
