"""Completion by the shell: what a real bash offers, and what is said without shtab."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli.completion import SHELLS
from bench.cli.main import COMMANDS, main

PRINT = [sys.executable, "-m", "bench", "--print-completion"]


def offered(script: str, *words: str) -> set[str]:
    """What bash offers for the last of `words`, the script sourced."""
    program = (
        f'{script}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; '
        'COMP_POINT=${#COMP_LINE}; _shtab_resnet_bench; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    asked = ["bash", "-c", program, "bash", "resnet-bench", *words]
    return set(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split())


def test_bash_completes_commands_options_choices_and_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = subprocess.run([*PRINT, "bash"], capture_output=True, text=True, check=True).stdout
    assert set(COMMANDS) <= offered(script, "")
    assert "--replicates" in offered(script, "run", "--repl")
    assert {"digits", "synthetic"} <= offered(script, "run", "--dataset", "")
    (tmp_path / "a_run").mkdir()
    monkeypatch.chdir(tmp_path)
    assert "a_run" in " ".join(offered(script, "check", "a_"))


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_its_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", shell])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in COMMANDS)


def test_without_shtab_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["--print-completion", "bash"]) == 2
    assert capsys.readouterr().err == (
        "resnet-bench: --print-completion needs shtab, which is not installed: pip install shtab\n"
    )


def test_an_unknown_shell_is_told_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--print-completion", "fish"]) == 2
    said = capsys.readouterr().err
    assert "fish" in said
    assert all(shell in said for shell in SHELLS)


def test_help_does_not_import_shtab() -> None:
    program = (
        "import sys\nfrom bench.cli.main import parser\nparser()\nprint('shtab' in sys.modules)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert shown.stdout == "False\n"
