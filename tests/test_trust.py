"""Nobody is let in: files are data, and no text of theirs is run."""

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.machine.facts import this_machine
from bench.records.folder import RunFolder
from builders import run, timed

ROOT = Path(__file__).parents[1]
MODULES = ("pickle", "marshal", "shelve", "dill", "joblib", "yaml", "code")
CALLS = ("eval", "exec", "compile", "system", "popen", "__import__")


def ways_in(tree: ast.AST) -> Iterator[str]:
    """What could run text: modules, calls, and shells."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            yield str(node.module)
        elif isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            if isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "os":
                name = node.func.attr
            if name in CALLS:
                yield name
            for word in node.keywords:
                if word.arg in ("shell", "allow_pickle") and getattr(word.value, "value", True):
                    yield f"{word.arg}=True"


def test_the_package_runs_no_text_and_loads_no_pickle() -> None:
    files = [*ROOT.glob("bench/**/*.py"), *ROOT.glob("resnet_impls/*.py")]
    assert len(files) > 100
    found = {
        f"{path.relative_to(ROOT)}: {way}"
        for path in files
        for way in ways_in(ast.parse(path.read_text(encoding="utf-8")))
    }
    # which reads arrays and lists alone, of files whose checksum is right
    assert found == {"bench/data/published.py: pickle"}
    assert set(ways_in(ast.parse("import pickle\nos.system(x)\nrun(x, shell=True)"))) == {
        "pickle",
        "system",
        "shell=True",
    }


@pytest.mark.parametrize("absolute", [True, False])
def test_code_that_came_with_results_is_not_run(
    absolute: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "first" if absolute else Path("first")
    facts = replace(run(options={"impl": [str(place / "evil.py")]}), machine=this_machine())
    folder = RunFolder.create(tmp_path / "first", facts)
    folder.append(timed([1.0], implementation=str(place / "evil.py")))
    (tmp_path / "first" / "evil.py").write_text("open('owned', 'w').close()")
    for words in (["run", "--resume", "first"], ["rerun", "first"]):
        assert main(words) == 2
        assert "names code" in capsys.readouterr().err
        assert not (tmp_path / "owned").exists()
