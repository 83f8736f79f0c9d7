"""Masked reconstruction by genomic element over held-out sequence: what stands out, beside shifted elements.

Run it from the repository: `python benchmarks/landscape_elements.py` (a quarter of an hour for 2 Mb on two cores). The
default region was held out of the default model's pretraining. CTCF sites are matches of its JASPAR motif, at p of at
most one in a million; polyadenylation signals and tandem repeats are found in the bases.
"""

from __future__ import annotations

import argparse

from ntviz import annotation, data, landscape, models, motifs
from ntviz.genome import Interval
from ntviz.reference import Reference

KINDS = (
    *("all", "tandem_repeat", "cpg_island", "intergenic", "intron", "promoter", "three_prime_utr", "five_prime_utr"),
    *("CDS", "polya_signal", "CTCF motif", "splice_donor", "splice_acceptor", "start_codon", "stop_codon"),
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="ntviz-mini")
    parser.add_argument("--region", default="20:43,000,001-45,000,000")
    parser.add_argument("--out", help="folder of finished pieces, to go on after an interruption")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    reference, genes = Reference(data.bundle("chr20")), annotation.read(data.bundle("genes"))
    at = Interval.from_str(arguments.region)
    seen = landscape.reconstruct(
        models.load(arguments.model, device=arguments.device), reference, at, out=arguments.out
    )
    bases = reference.fetch(at).sequence
    ctcf = motifs.hits(reference, at, motifs.read(data.bundle("motifs")).named("CTCF")[:1], p=1e-6)
    elements = annotation.combine(
        genes,
        annotation.polya_signals(genes, reference, within=at),
        annotation.tandem_repeats(bases, at),
        annotation.cpg_islands(bases, at),
        annotation.from_table(ctcf),
    )
    table = landscape.by_element(seen, elements, KINDS[1:]).set_index(["element", "measure"])
    print(f"{arguments.model} over {at.label()}: probability of the base that stands there, hidden from the model")
    print(f"{'element':<16} {'bases':>9} {'probability (95 %)':>22} {'elsewhere (95 %)':>18} {'over composition':>17}")
    for kind in KINDS:
        row, over = table.loc[kind, "probability"], table.loc[kind, "over_composition"]
        print(
            f"{kind:<16} {row['n']:>9,.0f} {row['value']:>8.3f} ({row['low']:.3f} to {row['high']:.3f}) "
            f"{row['null_low']:>7.3f} to {row['null_high']:.3f} {over['value']:>+17.3f}"
        )


if __name__ == "__main__":
    main()
