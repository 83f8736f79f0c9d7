"""Sheets through `ntviz submit` and a real Slurm: what is killed is redone, what is done is kept, the bytes are the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from urllib.parse import quote

import pandas as pd
from cluster import slurm
from cluster.submission import ENRICHING, SCORING

NO_GPU = ("--gpus", 0)
GENES = ("HNF4A", "BMP2")


def written(folder: Path, names: dict[str, bytes]) -> dict[str, bytes]:
    """Files of these names, as far as they are there."""
    return {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}


def shards(sample: str, count: int) -> list[tuple[str, str]]:
    return [(sample, f"shard-{number}-of-{count}") for number in range(1, count + 1)]


def test_what_was_killed_and_cancelled_is_redone_and_nothing_else(
    cluster, submission, variants, scored_alone, enriched_alone
):
    sheet = submission(
        {"sample": "scored", "in": variants, "shards": 4, **SCORING},
        {"sample": "enriched", "shards": 3, **ENRICHING},
        retries=0,
    )
    head = sheet.head(*NO_GPU, "--jobs", 16)
    doomed = [("scored", "shard-3-of-4"), ("enriched", "shard-2-of-3")]
    left = list(doomed)

    def ended_them() -> bool:
        for sample, job in list(left):
            working = sheet.working(sample, job)
            # In the middle: a shard takes some seconds of a processor.
            if working is None or slurm.worked(working) < 2:
                continue
            if sample == "enriched":
                cluster.call("scancel", slurm.variables(working)["SLURM_JOB_ID"])
            else:
                slurm.kill(working)
            left.remove((sample, job))
        return not left

    sheet.wait("the jobs to be ended", ended_them)
    code, said = sheet.ended(head)
    assert code == 1, said
    assert "failed: scored, shard 3 of 4: it ended with code 137\n" in said
    assert "failed: enriched, shard 2 of 3: it ended without a word: killed, cancelled, " in said
    before = sheet.starts()
    assert before == Counter(shards("scored", 4) + shards("enriched", 3))

    code, said = sheet.run(*NO_GPU)
    assert code == 0, said
    redone = Counter([*doomed, ("scored", "merge"), ("enriched", "merge")])
    assert sheet.starts() - before == redone
    assert written(sheet.out / "scored", scored_alone) == scored_alone
    assert written(sheet.out / "enriched", enriched_alone) == enriched_alone

    submitted = len(cluster.jobs())
    code, said = sheet.run(*NO_GPU)
    assert code == 0, said
    assert len(cluster.jobs()) == submitted


def test_the_jobs_of_a_head_that_was_killed_are_ended_and_what_was_done_is_kept(
    cluster, submission, variants, scored_alone
):
    sheet = submission({"sample": "scored", "in": variants, "shards": 3, **SCORING})
    first = sheet.head(*NO_GPU)
    # It will be in its middle still when the others are done.
    sheet.wait("a shard to work", lambda: sheet.working("scored", "shard-3-of-3")).suspend()
    marks = sheet.out / "scored" / "marks"
    sheet.wait("the others to be done", lambda: len(list(marks.glob("*.json"))) == 2)
    code, said = sheet.run(*NO_GPU)
    assert code == 1
    assert "is locked by Snakemake: another one works there, or was killed" in said

    first.kill()
    first.wait(10)
    done = {file: file.stat().st_mtime_ns for file in marks.glob("*.json")}
    stuck = sheet.jobs()["scored", "shard-3-of-3"][0]["JobId"]
    assert stuck in cluster.queue()
    code, said = sheet.run(*NO_GPU, "--unlock")
    assert code == 0, said
    assert cluster.jobs()[stuck]["JobState"] == "CANCELLED"
    assert {file: file.stat().st_mtime_ns for file in done} == done
    again = [("scored", "shard-3-of-3"), ("scored", "merge")]
    assert sheet.starts() == Counter([*shards("scored", 3), *again])
    assert written(sheet.out / "scored", scored_alone) == scored_alone


def test_the_work_of_a_node_that_failed_is_done_elsewhere(cluster, submission, variants, scored_alone):
    sheet = submission({"sample": "scored", "in": variants, "shards": 3, **SCORING})
    head = sheet.head(*NO_GPU)
    # Small work: the node must not fail after it is done.
    sheet.wait("a shard to work", lambda: sheet.working("scored", "shard-1-of-3")).suspend()
    sheet.wait("all shards to start", lambda: sheet.starts() == Counter(shards("scored", 3)))
    before = {job: records[0] for job, records in sheet.jobs().items()}
    node = before["scored", "shard-1-of-3"]["NodeList"]
    cluster.fail_node(node)
    code, said = sheet.ended(head)
    cluster.start_node(node)
    assert code == 0, said
    after = {job: records[0] for job, records in sheet.jobs().items()}
    lost = [job for job in before if after[job]["Restarts"] != "0"]
    assert lost
    assert {before[job]["NodeList"] for job in lost} == {node}
    assert node not in {after[job]["NodeList"] for job in lost}
    assert sheet.starts() == Counter([*shards("scored", 3), *lost, ("scored", "merge")])
    assert written(sheet.out / "scored", scored_alone) == scored_alone
    cluster.wait_idle()


def test_notebooks_take_a_gpu_and_the_index_leads_to_their_reports(cluster, submission, browser):
    sheet = submission(
        *({"sample": gene.lower(), "run": "00_start", "profile": "ci", "gene": gene} for gene in GENES)
    )
    # The profile's own kernel, ntviz-gpu, would rightly refuse a GPU that is none.
    code, said = sheet.run("--kernel", "ntviz")
    assert code == 0, said
    jobs = [facts for records in sheet.jobs().values() for facts in records]
    assert len(jobs) == len(GENES)
    # Each node has one GPU and two cores: without their GPUs, two jobs would share a node.
    assert {facts["TresPerJob"].strip() for facts in jobs} == {"gres:gpu:1"}
    assert len({facts["NodeList"] for facts in jobs}) == len(GENES)
    table = pd.read_parquet(sheet.out / "table.parquet")
    assert sorted(table["param.gene"]) == sorted(GENES)
    assert set(table["status"]) == {"ok"}

    page = browser.new_page(color_scheme="dark")
    asked: list[str] = []
    faults: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto((sheet.out / "index.html").as_uri())
    for gene in GENES:
        link = page.locator(f"tbody tr:has-text('{gene}') a").first
        assert link.get_attribute("href") == quote(f"{gene.lower()}/report.html")
    page.locator("tbody a").first.click()
    page.wait_for_load_state()
    assert page.url.endswith("/report.html")
    assert page.locator("h1").first.text_content()
    page.close()
    assert faults == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)
