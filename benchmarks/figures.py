"""What figures weigh and how long they take to build, against what they must keep to.

    python benchmarks/figures.py

Times are processor time of this process after the imports, the least of five. Sizes are of plotly's JSON, and of what a page or
a notebook carries (gzipped, in base64); plotly.js itself comes once a page.
"""

from __future__ import annotations

import base64
import gzip
import time
from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio

from ntviz import annotation, data, plot
from ntviz.genome import Interval
from ntviz.plot import show
from ntviz.reference import Reference


def told(name: str, make: Callable[[], go.Figure], seconds: float, megabytes: float) -> None:
    """Build a figure five times, and print what it took beside what it may take."""
    times = []
    for _ in range(5):
        begun = time.process_time()
        figure = make()
        times.append(time.process_time() - begun)
    text = pio.to_json(figure).encode()
    carried = len(base64.b64encode(gzip.compress(text, 6)))
    took, weighs = min(times), len(text)
    print(f"{name}: {took:.2f} s ({took / seconds:.2f} of {seconds:g} s), JSON {weighs / 1e6:.2f} MB "
          f"({weighs / 1e6 / megabytes:.2f} of {megabytes:g} MB), on a page {carried / 1e6:.2f} MB")  # fmt: skip


def main() -> None:
    """Measure each kind of figure that has a limit."""
    rng = np.random.default_rng(0)
    genes, reference = annotation.read(data.bundle("genes")), Reference(data.bundle("chr20"))

    def locus(length: int) -> go.Figure:
        interval = Interval("chr20", 43_029_000, 43_029_000 + length)
        bases = reference.fetch(interval).sequence
        spans = np.stack([np.arange(0, length, 6), np.arange(6, length + 6, 6)], axis=1)[: length // 6] + interval.start
        expected, shuffled = rng.dirichlet(np.ones(4) / 2, length), rng.dirichlet(np.ones(4), length)
        weights = rng.dirichlet(np.ones(len(spans)))
        return plot.locus(
            interval,
            [
                plot.genes_track(genes),
                plot.sequence_track(bases),
                plot.logo_track(expected, control=shuffled),
                plot.signal_track(expected.max(1), label="Probability", unit="probability", control=shuffled.max(1)),
                plot.attention_track(weights, spans, label="Attention", query_span=tuple(spans[3]), control=weights[::-1]),
            ],
            title="Five tracks", assembly="GRCh37",
        )  # fmt: skip

    spans = np.stack([np.arange(1000), np.arange(1, 1001)], axis=1) * 6 + 1000
    weights = rng.random((1000, 1000)) ** 8
    heads = rng.random((24, 16, 64, 64)).astype(np.float32) ** 4
    told("locus of 6 kb, 5 tracks", lambda: locus(6_000), 1, 2)
    told("locus of 12 kb, 5 tracks", lambda: locus(12_000), 2, 4)
    told("24 x 16 heads", lambda: plot.thumbnails(heads, title="Heads"), 1, 2)
    told(
        "map of 1,000 x 1,000 tokens",
        lambda: plot.attention_map(weights, spans, Interval("chr20", 1000, 7000), title="A head", label="head"),
        1,
        4,
    )
    ten = [locus(6_000) for _ in range(5)]
    ten += [
        plot.attention_map(
            weights[i::3, i::3][:300, :300],
            spans[:300],
            Interval("chr20", 1000, 7000),
            title="A head",
            label="head",
        )
        for i in (0, 1, 2)
    ]
    ten += [
        plot.thumbnails(heads[:4, :8], title="Heads"),
        plot.head_atlas(rng.random((24, 16)), label="entropy", unit="nats", title="Heads"),
    ]
    page = len(show.page(*ten)) / 1e6
    print(
        f"page of 10 figures: {page:.2f} MB ({page / 6:.2f} of 6 MB), of which plotly.js {len(base64.b64encode(show.plotlyjs())) / 1e6:.2f} MB"
    )


if __name__ == "__main__":
    main()
