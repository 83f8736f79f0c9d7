"""Sheets through `ntviz submit` and a real Slurm: what is killed is redone, what is done is kept, the bytes are the same."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter

import pandas as pd
from cluster import slurm
from cluster.submission import SCORING, TOP

NO_GPU = ("--gpus", 0)
PAGE = TOP / "docs" / "operating.md"


def written(sheet, names: dict[str, bytes]) -> dict[str, bytes]:
    """Files of these names that the scored sample has."""
    folder = sheet.out / "scored"
    return {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}


def shards(count: int) -> list[tuple[str, str]]:
    return [("scored", f"shard-{number}-of-{count}") for number in range(1, count + 1)]


def test_what_was_killed_and_cancelled_is_redone_and_nothing_else(cluster, submission, variants, scored_alone):
    row = {"sample": "scored", "in": variants, "shards": 3, "gpu_model": "toy", **SCORING}
    sheet = submission(row, retries=0)
    head = sheet.head("--jobs", 16, "--slurm", "--constraint=small --nice=7")
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
    assert re.search("failed: scored, shard 3 of 3: it ended (without a word: killed, cancelled|with code 143)", output)
    before = sheet.starts()
    assert before == Counter(shards(3))

    # A file that was touched holds what it held.
    os.utime(variants)
    code, output = sheet.run()
    assert code == 0, output
    assert sheet.starts() - before == Counter([*shards(3)[1:], ("scored", "merge")])
    assert written(sheet, scored_alone) == scored_alone
    # What merges asks for no GPU, and the site's options reach Slurm.
    asked = {job: [facts.get("TresPerJob", "").strip() for facts in records] for job, records in sheet.jobs().items()}
    assert asked.pop(("scored", "merge")) == [""]
    assert {text for texts in asked.values() for text in texts} == {"gres:gpu:toy:1"}
    first = sheet.jobs()["scored", "shard-1-of-3"][0]
    assert (first["Features"], first["Nice"]) == ("small", "7")


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


def test_the_page_for_operators_is_done_as_it_stands(cluster, submission, browser):
    """Its sheet and its commands, with three loci: a pilot by itself, two in one job and one kernel, the head a job of its own."""
    sheet = submission()
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    # The profile's own kernel, ntviz-gpu, would rightly refuse a GPU that is none.
    own = {"LOCI": 3, "NOTEBOOK": "00_start", "SIZE": "ci", "PROFILE": sheet.profile}
    own["OPTIONS"] = f"'--partition {slurm.PARTITION} --kernel ntviz'"
    names = re.findall(r"^(\w+)=", blocks[0], re.MULTILINE)
    assert names == list(own)
    script = "\n".join(["set -euo pipefail", *(f"{name}={value}" for name, value in own.items()), *blocks[1:]])
    done = subprocess.run(["bash", "-c", script], cwd=sheet.folder, env=sheet.variables, capture_output=True, text=True)
    said = (sheet.folder / "head.txt").read_text() if (sheet.folder / "head.txt").exists() else ""
    sheet.out = sheet.folder / "loci"
    assert done.returncode == 0, done.stderr + said + sheet.logs()
    assert "3 jobs, 0 done, 3 to do" in done.stdout
    pilot, *others = [line.split("\t")[0] for line in (sheet.folder / "loci.tsv").read_text().splitlines()[1:]]
    assert f"2 rows ask for what it will measure, by the pilot {pilot}" in done.stdout
    # Two jobs for three loci; each node has one GPU and two cores.
    jobs = sheet.jobs()
    assert sheet.starts() == Counter([(pilot, "notebook"), (".packs", "pack-1-of-1")])
    first, pack = jobs[pilot, "notebook"][0], jobs[".packs", "pack-1-of-1"][0]
    assert {facts["TresPerJob"].strip() for facts in (first, pack)} == {"gres:gpu:1"}
    assert pack["StartTime"] > first["EndTime"]
    # Three times what the pilot measured, which is less than a minute or two.
    assert (first["TimeLimit"], pack["TimeLimit"] < "00:30:00") == ("04:00:00", True)
    table = pd.read_csv(sheet.folder / "loci.csv").set_index("run")
    assert table["status"].to_dict() == dict.fromkeys([pilot, *others], "ok")
    assert (table["gpu_hours"] > 0).all() and set(table["hours_from"]) == {"benchmarks"}

    page = browser.new_page(color_scheme="dark")
    asked, faults = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto((sheet.out / "index.html").as_uri())
    rows = page.locator("table.spreads tbody tr")
    assert "seconds\t3\t" in "\n".join(rows.all_inner_texts())
    for gene in (pilot, *others):
        link = page.locator(f"tbody tr:has-text('{gene}') a").last
        assert link.get_attribute("href") == f"{gene}/report.html"
    link.click()
    page.wait_for_load_state()
    assert page.url.endswith("/report.html")
    assert page.locator("h1").first.text_content()
    page.close()
    assert faults == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)
