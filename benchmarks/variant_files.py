"""A VCF of a million records through reading, planning and writing, with a model that costs nothing: speed and memory.

Run it from the repository: `python benchmarks/variant_files.py` (some minutes; `--records 100000` for a tenth). What a
model takes comes on top; here it answers with zeros, so that only our own work is timed. Each size runs in a process of
its own, for its peak memory: a tenth of the records beside all of them shows whether memory grows with the file.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from ntviz import data, variants
from ntviz.genome import Interval
from ntviz.models import Forward
from ntviz.reference import Reference
from ntviz.tokens import Tokenizer, Tokens
from ntviz.variants import survey, vcf
from ntviz.variants.files import score_file


class Nothing:
    """A model with one layer that gives every token the same logit."""

    name, layers, heads, hidden_size, max_tokens = "nothing", 1, 1, 4, 8
    info = {"weights_sha256": "none", "revision": None}

    def __init__(self) -> None:
        self.tokenizer = Tokenizer("nt-3mer")
        self.mask_id = self.tokenizer.vocabulary.mask_id
        self.max_bp = self.tokenizer.vocabulary.max_bases(self.max_tokens)

    def tokenize(self, sequence: str, *, phase: int = 0) -> Tokens:
        return self.tokenizer(sequence, phase=phase)

    def forward(self, batch: Any, *, outputs: Any = ("logits",), at: Any = None, layers: Any = None) -> Forward:
        ids, mask = self.tokenizer.batch(list(batch))
        shape = ids.shape if at is None else at.shape
        return Forward(
            ids, mask.astype(bool), logits=np.zeros((*shape, self.tokenizer.vocabulary.n_logits), np.float32)
        )


def write_input(path: Path, records: int) -> None:
    """Substitutions at every 50th base or so of chromosome 20, eight columns."""
    reference = Reference(data.bundle("chr20"))
    step = max(1, 59_000_000 // records)
    with open(path, "w") as handle:
        handle.write("##fileformat=VCFv4.2\n##contig=<ID=20,length=63025520>\n")
        handle.write("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
        written, start = 0, 60_000
        while written < records:
            bases = reference.fetch(Interval("20", start, start + 1_000_000)).sequence
            for at in range(0, len(bases), step):
                if written < records and bases[at] != "N":
                    alt = "ACGT"["ACGT".index(bases[at]) - 1]
                    handle.write(f"20\t{start + at + 1}\trs{written}\t{bases[at]}\t{alt}\t.\tPASS\tAC=1;AN=5008\n")
                    written += 1
            start += 1_000_000


def measure(records: int) -> dict[str, float]:
    """Seconds of each pass, and MB at the peak."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.vcf"
        write_input(source, records)
        scorer = variants.Scorer(
            Nothing(), Reference(data.bundle("chr20")), variants.Options(("llr",), both_strands=False)
        )
        begin = time.perf_counter()
        survey.survey(source)
        surveyed = time.perf_counter() - begin
        begin = time.perf_counter()
        with vcf.VcfFile(source) as file:
            lines = (record.annotated({"NTV_LLR": "-1.5", "NTV_STATUS": "ok"}) for record in file)
            vcf.write(Path(folder) / "plain.vcf.gz", file.header, lines)
        written = time.perf_counter() - begin
        begin = time.perf_counter()
        summary = score_file(source, Path(folder) / "out.vcf.gz", scorer, what=None)
        whole = time.perf_counter() - begin
        assert summary.scored + summary.statuses["n_in_window"] == records
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000
    return {"survey": surveyed, "read, annotate, write": written, "all of score_file": whole, "peak_mb": peak}


def main() -> None:
    """Print records a second and peak memory of both sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--one", action="store_true", help="measure this size alone, as JSON")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.records)))
        return
    peaks = []
    for records in (arguments.records // 10, arguments.records):
        asked = [sys.executable, __file__, "--one", "--records", str(records)]
        found = json.loads(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)
        peaks.append(found.pop("peak_mb"))
        for name, seconds in found.items():
            print(f"{records:>9,} records  {name:<22} {seconds:7.1f} s  {records / seconds:10,.0f} records a second")
        print(f"{records:>9,} records  peak memory {peaks[-1]:,.0f} MB")
    print(f"ten times the records, {peaks[1] / peaks[0]:.2f} times the memory")


if __name__ == "__main__":
    main()
