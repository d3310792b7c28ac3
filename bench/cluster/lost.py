"""The rows of a shard that no node could measure: a failure is a row, and none is missing."""

import json
from dataclasses import replace
from pathlib import Path

from bench.cluster.campaign import LOST, Campaign, keep, part_of
from bench.parent.outcome import Outcome
from bench.plan.shards import cut
from bench.records.folder import RunFolder
from bench.request.matrix import cells_of
from bench.run.record import record
from bench.validation import plain


def lost(path: Path, campaign: Campaign, kind: str, number: int, reason: str) -> None:
    """Keep a part with a row for each process of a shard, which says why it was not measured.

    A shard of the same kind that was measured says what the nodes are; where there is none, nobody
    knows, and the shard stays missing.
    """
    numbers = range(1, campaign.shards + 1)
    known = next(
        (
            part
            for part in (part_of(path, kind, each) for each in numbers)
            if (part / "run.json").exists()
        ),
        None,
    )
    if known is None:
        return
    run = RunFolder.open(known).run
    part = cut(run.options, cells_of(run.options), campaign.shards)[number - 1]
    run = replace(run, run_id=f"part-{number}", shard=part.shard, spent_s={})
    replicates = range(run.options.replicates or 1)
    tasks = [(cell, index) for cell in part.cells for index in replicates]
    rows = [
        record(task, Outcome("crashed", reason), None, run)
        for task in tasks
        if task not in part.elsewhere
    ]
    keep(
        part_of(path, kind, number),
        {
            "run.json": json.dumps(plain(run), indent=2).encode() + b"\n",
            "records.jsonl": b"".join(row.to_json().encode() + b"\n" for row in rows),
            LOST: reason.encode() + b"\n",
        },
    )
