"""One pass over files of records: what is counted, and the files with all rows."""

from collections.abc import Callable, Sequence
from pathlib import Path

from bench.analysis.ranking import contests_of
from bench.collector import resting
from bench.files import write, writing
from bench.obstacles import installed
from bench.records.stored import Stored
from bench.reports.fleet.markdown import FleetReport, render
from bench.reports.fleet.tally import Tally
from bench.reports.formats import csv
from bench.reports.text import rendered

Seen = Callable[[int, int], None]  # families of records that are done, of how many
PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>resnet-bench</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
body {{ margin: 2rem; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; }}
th, td {{ padding: .3rem .8rem; text-align: left; border-bottom: 1px solid #8888; }}
</style>
<main>
{body}
</main>
</html>
"""


@resting()
def write_fleet(
    out: Path, stored: Stored, remarks: Sequence[str], baseline: str | None, seen: Seen
) -> FleetReport:
    """Write the report of runs into a folder; its memory does not grow with their samples.

    Raises UsageError for a line that is no record, and then writes nothing.
    """
    tally, runs = Tally(), {run.run_id: run for run in stored.runs}
    with writing(out / "results.csv") as results, writing(out / "summary.csv") as summary:
        results.write(csv.RESULTS.encode())
        summary.write(csv.SUMMARY.encode())
        for done, records in enumerate(stored, start=1):
            results.writelines(csv.result(record, raw=False).encode() for record in records)
            own = [runs[name] for name in {r.run_id for r in records} if name in runs]
            for contest in contests_of(records, own):
                summary.write(csv.summarized(contest).encode())
                tally.add(contest)
            seen(done, len(stored.families))
    report = FleetReport(tally, stored.runs, [*stored.remarks, *remarks], baseline)
    text = render(report)
    write(out / "report.md", text)
    if installed("markdown-it-py"):
        write(out / "report.html", PAGE.format(body=rendered(text)))
    return report
