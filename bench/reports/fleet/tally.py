"""What a report of very many records counts, contest by contest; nothing of it grows with records.

But for a few numbers of each cell, in `Fleet`, which has the speeds.
"""

from collections import Counter
from collections.abc import Sequence

from bench.analysis.contests import Contest
from bench.analysis.fleet import Fleet
from bench.reports.answer import achieved, leaders
from bench.reports.sections import around_blocks, effective_settings

MOST = 10_000  # different texts that are counted each; what comes then, together
OTHERS = ("all others", "", "")
SHOWN = 200  # rows of a table


class Tally:
    """All that the report says of the contests so far."""

    def __init__(self) -> None:
        self.fleet = Fleet()
        self.contests = self.cells = self.records = self.ok = 0
        self.shown: list[
            tuple[str, str, str, str]
        ] = []  # first contests: name, ahead, at, warnings
        self.ahead: dict[str, Counter[str]] = {}  # workload -> contender -> contests
        self.of_workload = Counter[str]()  # contests
        self.failed = Counter[tuple[str, str, str]]()  # contender, status, reason -> processes
        self.certified = Counter[tuple[str, str, str]]()  # executable and halves -> processes
        self.trouble = Counter[str]()  # kind -> processes
        self.troubled: dict[str, Counter[str]] = {}  # machine -> kind -> processes
        self.unfair = Counter[tuple[str, str, str]]()  # what is unfair -> contests
        self.versions: dict[str, Counter[str]] = {}  # package -> version -> processes
        self.prints: dict[tuple[str, str, int], set[str]] = {}  # what, of which contest, seed

    def add(self, contest: Contest) -> None:
        """Take in a contest."""
        workload = contest.cell.workload
        self.contests += 1
        self.of_workload[workload] += 1
        self.cells += len(contest.summaries)
        self.fleet.add(contest)
        best = leaders(contest)
        self.ahead.setdefault(workload, Counter()).update(s.cell.known_as for s in best)
        unfair = effective_settings.remarks(contest)
        for remark in unfair:
            _count(self.unfair, (remark, "", ""))
        warnings = self._count_records(contest) + ["unfair"] * bool(unfair)
        if len(self.shown) < SHOWN:
            names = best[0].cell.known_as if best else "–"
            names += f" and {len(best) - 1} that tie" * (len(best) > 1)
            speed = achieved(contest.fastest) or "nothing was measured"
            name = f"{contest.label}, on {contest.place}"
            self.shown.append((name, names, speed, ", ".join(warnings) or "–"))

    def _count_records(self, contest: Contest) -> list[str]:
        """Count processes; returns the kinds of trouble that some of them had."""
        for r in contest.failures:
            _count(self.failed, (r.cell.label, r.status, r.reason or "–"))
        name = contest.cell.contest_label_without("device", "threads")
        kinds = Counter[str]()
        for r in contest.records:
            kinds.update(word for word, is_so in around_blocks.KINDS.items() if is_so(r))
            halves = r.certificate_float64, r.certificate_timed
            float64, timed = (half or "not certified" for half in halves)
            trained = r.cell.training.label if r.cell.training else "–"
            executable = f"{r.cell.label} {r.model} {r.device} {r.precision} {trained}"
            _count(self.certified, (executable, float64, timed))
            for package, version in r.versions.items():
                self.versions.setdefault(package, Counter())[version] += 1
            for what, found in (("weights", r.weights_sha256), ("batches", r.data_sha256)):
                if found:
                    self._keep(what, name, r.weights_seed, found)
        self.ok += len(contest.records)
        aside = sum(len(s.set_aside) for s in contest.summaries)
        self.records += len(contest.records) + len(contest.failures) + aside
        self.trouble.update(kinds)
        if kinds:
            self.troubled.setdefault(contest.machine, Counter()).update(kinds)
        return list(kinds)

    def _keep(self, what: str, contest: str, seed: int, found: str) -> None:
        """Keep a fingerprint, of MOST contests and seeds at most."""
        key = what, contest, seed
        if key in self.prints or len(self.prints) < MOST:
            prints = self.prints.setdefault(key, set())
            if len(prints) < 2:
                prints.add(found)

    @property
    def different(self) -> Sequence[tuple[str, str, int]]:
        """What was not the same work: weights or batches, of which contest and seed."""
        return [key for key, prints in self.prints.items() if len(prints) > 1]


def _count(counts: Counter[tuple[str, str, str]], key: tuple[str, str, str]) -> None:
    counts[key if key in counts or len(counts) < MOST else OTHERS] += 1
