"""`machines.toml`: what is refused, in one line, and what counts for whom."""

import os
from pathlib import Path

import pytest

from bench.analysis.hardware import Hardware
from bench.cli.main import main
from bench.errors import UsageError
from bench.reports.rates import Rate, rate_of, read
from builders import record
from published import published

REFUSED = {
    "[desk": "is not TOML",
    "\udcff": "cannot be read",
    "[dusk]\npower_w = 1": "'dusk' (did you mean 'desk'?)",
    "[host.example.com]\npower_w = 1": "in quotes",
    "desk = 3": "desk = 3 is no table",
    "[desk]\npower_w = " + "9" * 5000: "is not TOML",
    "[desk]\npower_w = " + "[" * 5000 + "]" * 5000: "is nested too deeply",
    "#" * (2**20 + 1): "is larger than 1 MiB",
    "[desk]\nprice = 1": "unknown key 'price'",
    "[desk]\npower_w = -1": "power_w = -1: must be a finite number above 0",
    "[desk]\npower_w = 0": "above 0",
    "[desk]\npower_w = inf": "finite",
    "[desk]\npower_w = nan": "finite",
    "[desk]\npower_w = true": "must be a finite number",
    "[desk]\npower_w = '40'": "must be a finite number",
    "[desk]\nprice_per_hour = -0.1\ncurrency = 'EUR'": "price_per_hour = -0.1",
    "[desk]\nprice_per_hour = 0.1": "go together",
    "[desk]\ncurrency = 'EUR'": "go together",
    "[desk]\nprice_per_hour = 1\ncurrency = 1": "currency = 1: must be a name such as 'EUR'",
    "[desk]\nprice_per_hour = 1\ncurrency = ' '": "currency",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:30])
def test_a_mistake_is_named_in_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "machines.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError) as caught:
        read(path, [record()])
    message = str(caught.value)
    assert message.startswith(f"--machines {path}: ")
    assert REFUSED[text] in message
    assert "\n" not in message


def test_the_command_refuses_it_and_leaves_the_run_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = published(tmp_path / "run")
    before = sorted(folder.iterdir())
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for given in (tmp_path / "nowhere.toml", tmp_path, tmp_path / "pipe", tmp_path / "endless"):
        assert main(["report", str(folder), "--machines", str(given)]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert str(given) in line
    assert sorted(folder.iterdir()) == before


def test_prices_of_a_single_machine_are_said_to_change_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, prices = published(tmp_path / "run"), tmp_path / "machines.toml"
    prices.write_text("[epyc-2core]\npower_w = 40\n")
    assert main(["report", str(folder), "--machines", str(prices)]) == 0
    assert "warning: --machines changed nothing" in capsys.readouterr().err


def test_a_machine_goes_before_its_processor_key_by_key(tmp_path: Path) -> None:
    path = tmp_path / "machines.toml"
    path.write_text("[desk]\npower_w = 40\n['Example CPU']\npower_w = 30\n['Example GPU']\n")
    rows = [record(), record(machine="far"), record(processor="Example GPU", device="cuda")]
    rates = read(path, rows)
    places = [Hardware(row.machine, row.processor, row.device, 2) for row in rows]
    assert [rate_of(rates, place).power_w for place in places] == [40, 30, 40]
    assert rate_of(rates, places[0]) == Rate(power_w=40)
