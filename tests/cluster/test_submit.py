"""Sheets through `ntviz submit` and a real Slurm: what is killed is redone, what is done is kept, the bytes are the same."""

from __future__ import annotations

from collections import Counter
from urllib.parse import quote

import pandas as pd
from cluster import slurm
from cluster.submission import SCORING

NO_GPU = ("--gpus", 0)
GENES = ("HNF4A", "BMP2")


def written(sheet, names: dict[str, bytes]) -> dict[str, bytes]:
    """Files of these names that the scored sample has."""
    folder = sheet.out / "scored"
    return {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}


def shards(count: int) -> list[tuple[str, str]]:
    return [("scored", f"shard-{number}-of-{count}") for number in range(1, count + 1)]


def test_what_was_killed_and_cancelled_is_redone_and_nothing_else(cluster, submission, variants, scored_alone):
    sheet = submission({"sample": "scored", "in": variants, "shards": 3, **SCORING}, retries=0)
    head = sheet.head(*NO_GPU, "--jobs", 16)
    left = {"shard-2-of-3": "killed", "shard-3-of-3": "cancelled"}

    def ended_them() -> bool:
        for job, how in list(left.items()):
            working = sheet.working("scored", job)
            # In the middle: a shard takes some seconds of a processor.
            if working is None or slurm.worked(working) < 2:
                continue
            if how == "cancelled":
                cluster.call("scancel", slurm.variables(working)["SLURM_JOB_ID"])
            else:
                working.kill()  # as the kernel does when memory ends
            del left[job]
        return not left

    sheet.wait("the jobs to be ended", ended_them)
    code, output = sheet.ended(head)
    assert code == 1, output
    assert "failed: scored, shard 2 of 3: it ended with code 137\n" in output
    assert "failed: scored, shard 3 of 3: it ended without a word: killed, cancelled, " in output
    before = sheet.starts()
    assert before == Counter(shards(3))

    code, output = sheet.run(*NO_GPU)
    assert code == 0, output
    assert sheet.starts() - before == Counter([*shards(3)[1:], ("scored", "merge")])
    assert written(sheet, scored_alone) == scored_alone


def test_the_jobs_of_a_head_that_was_killed_are_ended_and_what_was_done_is_kept(
    cluster, submission, variants, scored_alone
):
    sheet = submission({"sample": "scored", "in": variants, "shards": 2, **SCORING})
    first = sheet.head(*NO_GPU)
    # It will be in its middle still when the other is done.
    sheet.wait("a shard to work", lambda: sheet.working("scored", "shard-2-of-2")).suspend()
    mark = sheet.out / "scored" / "marks" / "shard-1-of-2.json"

    def other_is_done() -> bool:  # Snakemake touches the mark once more before the job of Slurm ends
        return mark.is_file() and sheet.jobs()["scored", "shard-1-of-2"][0]["JobState"] == "COMPLETED"

    sheet.wait("the other to be done", other_is_done)
    first.kill()
    first.wait(10)
    done = mark.stat().st_mtime_ns
    stuck = sheet.jobs()["scored", "shard-2-of-2"][0]["JobId"]
    assert stuck in cluster.queue()
    code, output = sheet.run(*NO_GPU, "--unlock")
    assert code == 0, output
    assert cluster.jobs()[stuck]["JobState"] == "CANCELLED"
    assert mark.stat().st_mtime_ns == done
    assert sheet.starts() == Counter([*shards(2), ("scored", "shard-2-of-2"), ("scored", "merge")])
    assert written(sheet, scored_alone) == scored_alone


def test_the_work_of_a_node_that_failed_is_done_elsewhere(cluster, submission, variants, scored_alone):
    sheet = submission({"sample": "scored", "in": variants, "shards": 2, **SCORING})
    head = sheet.head(*NO_GPU)
    # Small work: the node must not fail after it is done.
    sheet.wait("a shard to work", lambda: sheet.working("scored", "shard-1-of-2")).suspend()
    sheet.wait("all shards to start", lambda: sheet.starts() == Counter(shards(2)))
    before = {job: records[0] for job, records in sheet.jobs().items()}
    node = before["scored", "shard-1-of-2"]["NodeList"]
    cluster.fail_node(node)
    code, output = sheet.ended(head)
    cluster.start_node(node)
    assert code == 0, output
    after = {job: records[0] for job, records in sheet.jobs().items()}
    lost = [job for job in before if after[job]["Restarts"] != "0"]
    assert lost
    assert {before[job]["NodeList"] for job in lost} == {node}
    assert node not in {after[job]["NodeList"] for job in lost}
    assert sheet.starts() == Counter([*shards(2), *lost, ("scored", "merge")])
    assert written(sheet, scored_alone) == scored_alone
    cluster.wait_idle()


def test_notebooks_take_a_gpu_and_the_index_leads_to_their_reports(cluster, submission, browser):
    sheet = submission(*({"sample": gene.lower(), "run": "00_start", "profile": "ci", "gene": gene} for gene in GENES))
    # The profile's own kernel, ntviz-gpu, would rightly refuse a GPU that is none.
    code, output = sheet.run("--kernel", "ntviz")
    assert code == 0, output
    jobs = [facts for records in sheet.jobs().values() for facts in records]
    assert len(jobs) == len(GENES)
    # Each node has one GPU and two cores: without their GPUs, two jobs would share a node.
    assert {facts["TresPerJob"].strip() for facts in jobs} == {"gres:gpu:1"}
    assert len({facts["NodeList"] for facts in jobs}) == len(GENES)
    table = pd.read_parquet(sheet.out / "table.parquet")
    assert sorted(table["param.gene"]) == sorted(GENES)
    assert set(table["status"]) == {"ok"}

    page = browser.new_page(color_scheme="dark")
    asked, faults = [], []
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
