"""Sheets through `ntviz submit` and a real Slurm: what is killed is redone, what is done is kept, the bytes are the same."""

from __future__ import annotations

import platform
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import pandas as pd
from cluster import slurm
from cluster.submission import ENRICHING, SCORING, Submission

NO_GPU = ("--gpus", 0)
GENES = ("HNF4A", "BMP2", "SNAP25", "SRC")


def written(folder: Path, names: dict[str, bytes]) -> dict[str, bytes]:
    """Files of these names, as far as they are there."""
    return {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}


def shards(sample: str, count: int) -> list[tuple[str, str]]:
    return [(sample, f"shard-{number}-of-{count}") for number in range(1, count + 1)]


def test_what_was_killed_and_cancelled_is_redone_and_nothing_else(
    cluster, submission, variants, scored_alone, enriched_alone
):
    sheet = submission(
        {"sample": "scored", "in": variants, "shards": 8, **SCORING},
        {"sample": "enriched", "shards": 8, **ENRICHING},
        retries=0,
    )
    head = sheet.head(*NO_GPU, "--jobs", 16)
    doomed = [("scored", "shard-3-of-8"), ("enriched", "shard-6-of-8")]
    left = dict(zip(doomed, ("score", "enrich"), strict=True))

    def ended_them() -> bool:
        for (sample, job), command in list(left.items()):
            number = sheet.started(sample, job)
            working = cluster.processes(number, f"-m ntviz {command}") if number else []
            # In the middle: a shard takes some seconds of a processor.
            if not working or slurm.worked(working[0]) < 2:
                continue
            if command == "enrich":
                cluster.call("scancel", number)
            else:
                slurm.kill(working[0])
            del left[sample, job]
        return not left

    sheet.wait("the jobs to be ended", ended_them)
    code, said = sheet.ended(head)
    assert code == 1, said
    assert "failed: scored, shard 3 of 8: it ended with code 137\n" in said
    assert "interrupted: enriched, shard 6 of 8: it ended with code 143\n" in said
    before = sheet.starts()
    assert before == Counter(shards("scored", 8) + shards("enriched", 8))

    code, said = sheet.run(*NO_GPU)
    assert code == 0, said
    redone = Counter([*doomed, ("scored", "merge"), ("enriched", "merge")])
    assert sheet.starts() - before == redone
    assert written(sheet.out / "scored", scored_alone) == scored_alone
    assert written(sheet.out / "enriched", enriched_alone) == enriched_alone

    submitted = len(cluster.jobs())
    code, said = sheet.run(*NO_GPU)
    assert code == 0, said
    assert sheet.starts() - before == redone
    assert len(cluster.jobs()) == submitted


def test_a_head_that_was_killed_leaves_its_jobs_to_the_next_one(cluster, submission, variants, scored_alone):
    sheet = submission({"sample": "scored", "in": variants, "shards": 4, **SCORING})
    first = sheet.head(*NO_GPU)
    sheet.wait("all shards to start", lambda: sheet.starts() == Counter(shards("scored", 4)))
    second = sheet.head(*NO_GPU)
    code, said = sheet.ended(second, 60)
    assert code == 1
    assert f"is held by process {first.pid} of " in said
    assert f" on {platform.node()} since 20" in said

    first.kill()
    first.wait(10)
    engines = lambda: [each for each in cluster.processes(words="-m snakemake") if "SLURM_JOB_ID" not in slurm.variables(each)]  # fmt: skip # noqa: E731
    slurm.wait_for("the end of the engine", lambda: not engines(), 30, sheet.told)
    assert sheet.starts() == Counter(shards("scored", 4))
    code, said = sheet.run(*NO_GPU)
    assert code == 0, said
    assert sheet.starts() == Counter([*shards("scored", 4), ("scored", "merge")])
    assert written(sheet.out / "scored", scored_alone) == scored_alone


def test_the_work_of_a_node_that_failed_is_done_elsewhere(cluster, submission, variants, scored_alone):
    sheet = submission({"sample": "scored", "in": variants, "shards": 4, **SCORING})
    head = sheet.head(*NO_GPU)
    sheet.wait("all shards to start", lambda: sheet.starts() == Counter(shards("scored", 4)))
    numbers = {job: sheet.events(*job)[0]["slurm"] for job in shards("scored", 4)}
    before = cluster.jobs()
    node = before[next(iter(numbers.values()))]["NodeList"]
    cluster.fail_node(node)
    code, said = sheet.ended(head)
    cluster.start_node(node)
    assert code == 0, said
    after = cluster.jobs()
    lost = [job for job, number in numbers.items() if after[number]["Restarts"] != "0"]
    assert lost
    assert {before[numbers[job]]["NodeList"] for job in lost} == {node}
    assert node not in {after[numbers[job]]["NodeList"] for job in lost}
    assert sheet.starts() == Counter([*shards("scored", 4), *lost, ("scored", "merge")])
    assert written(sheet.out / "scored", scored_alone) == scored_alone
    cluster.wait_idle()


def test_notebooks_take_a_gpu_and_the_index_leads_to_their_reports(cluster, submission, browser):
    known = set(cluster.jobs())
    sheet = submission(
        *({"sample": gene.lower(), "run": "00_start", "profile": "ci", "gene": gene} for gene in GENES)
    )
    # The profile's own kernel, ntviz-gpu, would rightly refuse a GPU that is none.
    code, said = sheet.run("--kernel", "ntviz")
    assert code == 0, said
    jobs = [facts for number, facts in cluster.jobs().items() if number not in known]
    assert len(jobs) == len(GENES)
    # Each node has one GPU and two cores: without their GPUs, two jobs would share a node.
    assert {facts["TresPerJob"].strip() for facts in jobs} == {"gres:gpu:1"}
    assert {facts["NodeList"] for facts in jobs} == set(cluster.nodes)
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


def test_a_partition_that_is_not_there_is_refused_before_anything_is_submitted(cluster, submission, variants):
    sheet: Submission = submission({"sample": "scored", "in": variants, **SCORING})
    known = len(cluster.jobs())
    code, said = sheet.run("--partition", "nowhere", profile="slurm")
    assert code == 2
    assert f"'nowhere' is not. It has {slurm.PARTITION}: choose with --partition" in said
    assert len(cluster.jobs()) == known
    assert not sheet.out.exists()
