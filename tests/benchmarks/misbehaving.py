"""Implementations that misbehave, each in a way of its own, and what must become of each."""

from pathlib import Path
from textwrap import dedent, indent

HEAD = """\
import ctypes, json, os, resource, signal, subprocess, sys, threading, time
import numpy as np
from fake_implementation import Implementation as Good

CHANNEL = int(sys.argv[1])

def say(**answer):
    os.write(CHANNEL, json.dumps(answer).encode() + b"\\n")

class Implementation(Good):
"""
WARM = (
    'dict(answer="warmed_up", first_step_s=1.0, warmup_s=1.0, warmup_steps=1, step_s=1.0, '
    "host_mib=9.0, settings={})"
)
GARBAGE = "answered its warm_up with garbage"


def _in_train(statement: str) -> str:
    return f"def train(self, steps): {statement}"


def _says(statement: str) -> str:
    """It says so and waits, or the worker's own answer would come as a second one."""
    return _in_train(f"{statement}; time.sleep(600)")


def _answers(change: str) -> str:
    return _says(f"say(**{{**{WARM}, {change}}})")


def _line(line: str) -> str:
    return _says(f"os.write(CHANNEL, {line})")


def _well(statement: str) -> str:
    return _in_train(f"{statement}; return super().train(steps)")


# name -> body of the class, status, and words of the reason
KINDS: dict[str, tuple[str, str, str | None]] = {
    # answers
    "words_for_a_number": (_answers("'first_step_s': 'quick'"), "crashed", GARBAGE),
    "null_for_a_number": (_answers("'host_mib': None"), "crashed", GARBAGE),
    "not_a_number": (_answers("'first_step_s': float('nan')"), "crashed", GARBAGE),
    "infinity": (_answers("'first_step_s': float('inf')"), "crashed", GARBAGE),
    "huge_integer": (_answers("'first_step_s': 10**400"), "crashed", GARBAGE),
    "huge_number": (_answers("'first_step_s': 1e300"), "crashed", GARBAGE),
    "negative_time": (_answers("'first_step_s': -1.0"), "crashed", GARBAGE),
    "unknown_key": (_answers("'shoe_size': 43"), "crashed", "unknown field shoe_size"),
    "warmup_s_missing": (
        _says("say(answer='warmed_up', first_step_s=1.0, host_mib=9.0, settings={})"),
        "crashed",
        "missing required field warmup_s",
    ),
    "cpu_s_missing": (
        """
        def train(self, steps):
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls == 3:
                say(answer="block_timed", block_s=1.0, host_mib=9.0)
            return super().train(steps)
        """,
        "crashed",
        "missing required field cpu_s",
    ),
    "splendid_status": (
        _says("say(answer='failed', status='splendid', reason='all is well')"),
        "crashed",
        "Invalid enum value 'splendid'",
    ),
    "another_answer": (_says("say(answer='audited', faults=[])"), "crashed", GARBAGE),
    "two_answers": (
        _in_train(f"os.write(CHANNEL, 2 * (json.dumps({WARM}).encode() + b'\\n'))"),
        "crashed",
        "it sent more than one answer",
    ),
    "half_a_character": (_line(r"""b'{"answer": "\\ud800"}\n'"""), "crashed", GARBAGE),
    "no_text": (_line(r"b'\xff\xfe\n'"), "crashed", GARBAGE),
    "nested_too_deeply": (_line(r"b'[' * 60_000 + b'\n'"), "crashed", GARBAGE),
    "endless_line": (
        "def train(self, steps):\n    while True: os.write(CHANNEL, bytes(1 << 20))",
        "crashed",
        "a line of more than 64 MiB",
    ),
    "long_reason": (
        _says("say(answer='failed', status='oom', reason='\\x1b[31m \\n' + 'a ' * 10**6)"),
        "oom",
        "?[31m a a a",
    ),
    "half_a_character_in_settings": (
        "def settings(self): return {'layout': '\\ud800'}",
        "crashed",
        "UnicodeEncodeError",
    ),
    "settings_that_are_none": ("def settings(self): return 3", "crashed", "AttributeError"),
    # ends
    "segmentation_fault": (_in_train("ctypes.string_at(0)"), "crashed", "killed by SIGSEGV"),
    "abort": (_in_train("os.abort()"), "crashed", "killed by SIGABRT"),
    "signal_without_a_name": (_in_train("os.kill(os.getpid(), 40)"), "crashed", "by signal 40"),
    "exit_with_0": (_in_train("os._exit(0)"), "crashed", "exited with code 0 during its warm_up"),
    "system_exit": (_in_train("sys.exit(0)"), "crashed", "SystemExit: 0"),
    "keyboard_interrupt": (_in_train("signal.raise_signal(2)"), "crashed", "KeyboardInterrupt"),
    "endless_recursion": (_in_train("self.train(steps)"), "crashed", "RecursionError"),
    "all_descriptors_closed": (
        _in_train("os.closerange(0, 512); time.sleep(600)"),
        "crashed",
        "closed its channel during its warm_up",
    ),
    "outputs_closed_then_error": (
        _in_train("os.close(1); os.close(2); sys.stderr.close(); raise OSError('no outputs')"),
        "crashed",
        "OSError: no outputs",
    ),
    # hangs
    "hang_in_native_code": (
        """
        def train(self, steps):
            for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
                signal.signal(number, signal.SIG_IGN)
            ctypes.PyDLL(None).sleep(600)  # with the interpreter's lock
        """,
        "timeout",
        "its warm_up did not end within 5 s",
    ),
    "another_process_group": (
        _in_train("os.setpgid(0, os.getpgid(os.getppid())); time.sleep(600)"),
        "timeout",
        "its warm_up did not end within 5 s",
    ),
    "stopped_by_itself": (
        _in_train("os.kill(os.getpid(), signal.SIGSTOP)"),
        "timeout",
        "its warm_up did not end within 5 s",
    ),
    # numbers of the training
    "loss_not_a_number": (
        _in_train("return super().train(steps) * np.float32('nan')"),
        "crashed",
        "the training loss became nan at step 1",
    ),
    "no_memory": (_in_train("raise MemoryError"), "oom", "MemoryError"),
    "data_segment_of_nothing": (
        _in_train(
            "resource.setrlimit(resource.RLIMIT_DATA, (1, 1)); return np.ones(10**9)[:steps]"
        ),
        "oom",
        "allocate",
    ),
    # habits that are bad and yet harm nobody
    "another_directory": (_well("os.chdir('/')"), "ok", None),
    "handlers_of_its_own": (
        _well("[signal.signal(n, lambda *_: None) for n in (1, 2, 15, 18, 20)]"),
        "ok",
        None,
    ),
    "output_of_100_mb": (
        _well("[os.write(1, b'o' * (1 << 20)) for _ in range(100 * (steps == 1))]"),
        "ok",
        None,
    ),
    "offspring_left_behind": (
        _well(
            "[subprocess.Popen(['sleep', '600'], start_new_session=new) for new in (True, False)]"
        ),
        "ok",
        None,
    ),
    "orphans_left_behind": (
        _well("subprocess.run('(setsid sleep 600 &) ; (sleep 600 &)', shell=True)"),
        "ok",
        None,
    ),
    "no_temporary_folder": (
        _well("__import__('shutil').rmtree(os.environ['TMPDIR'], True)"),
        "ok",
        None,
    ),
    "unreadable_temporary_files": (
        _well(
            "os.makedirs(os.environ['TMPDIR'] + '/a/b', exist_ok=True); "
            "os.chmod(os.environ['TMPDIR'] + '/a', 0)"
        ),
        "ok",
        None,
    ),
}


def write(folder: Path, name: str) -> Path:
    """The file of a kind, in a folder that holds the fake implementation."""
    path = folder / f"{name}.py"
    path.write_text(HEAD + indent(dedent(KINDS[name][0]), "    "), encoding="utf-8")
    return path
