"""The table of certificates says what was compared, how far apart it was, and what failed."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.identity.certificate import Certificate, Half
from bench.reports.formats import certificates
from builders import record

EXECUTABLE = record().cell.executable
FLOAT64 = Half(
    (("gradients", 1e-9, 1e-8), ("parameters after step 20", 2.5e-13, 1e-10)),
)
TIMED = Half((("tensors", 0.0, 0.0), ("loss of step 1", 1.5e-7, 1e-6)))


def row(certificate: Certificate) -> str:
    return certificates.render({EXECUTABLE: certificate}, "0.1.0").splitlines()[-1]


def test_a_row_states_both_halves_and_the_versions() -> None:
    text = row(Certificate(FLOAT64, TIMED))
    assert text.startswith("| torch_module")
    assert "| 2.5e-13 | loss 1.5e-07 / 1e-06 | passed | torch " in text


def test_a_row_states_what_failed_and_by_how_much() -> None:
    failed = replace(TIMED, checks=(("loss of step 1", None, 1e-6),))
    assert (
        "loss no number / 1e-06 | as timed failed: loss of step 1 cannot be compared (no number)"
        in row(Certificate(FLOAT64, failed))
    )
    crashed = Half(failure="crashed: it exited with code 3")
    assert "| – | loss 1.5e-07 / 1e-06 | float64 failed: crashed: it exited with code 3 |" in row(
        Certificate(crashed, TIMED)
    )


def test_a_row_of_what_only_infers_states_its_logits_and_what_stood_in_for_float64() -> None:
    exact = Half((("tensors", 0, 0), ("evaluation logits", 2.5e-15, 1e-12)))
    single = Half((("evaluation logits", 1e-7, 2e-6),), instead="fp32")
    assert "| 2.5e-15 | logits 1.0e-07 / 2e-06 | passed |" in row(Certificate(exact, single))
    assert "| none; fp32: logits 1.0e-07 / 2e-06 | logits 1.0e-07 / 2e-06 | passed |" in row(
        Certificate(single, single)
    )


def test_what_cannot_be_written_is_a_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        certificates.save(tmp_path / "missing" / "certificates.md", {}, "0.1.0")


def test_a_table_that_is_there_keeps_its_other_rows(tmp_path: Path) -> None:
    file = tmp_path / "certificates.md"
    file.write_text("What I thought of it.")
    other = replace(EXECUTABLE, model="resnet18")
    passed, failed = Certificate(FLOAT64, TIMED), Certificate(FLOAT64, Half(failure="crashed"))
    certificates.save(file, {EXECUTABLE: failed, other: failed}, "0.1.0 (commit 1)")
    certificates.save(file, {EXECUTABLE: passed}, "0.1.0 (commit 2)")
    first, second = file.read_text(encoding="utf-8").splitlines()[-2:]
    assert "| resnet14 |" in first
    assert "| passed |" in first
    assert "(commit 2), 2" in first
    assert "| resnet18 |" in second
    assert "crashed" in second
    assert "(commit 1), 2" in second
