"""The command as a whole: how it ends when somebody has seen enough."""

from __future__ import annotations

import argparse
import inspect
import os
import pkgutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import psutil
import pytest

from edge.__main__ import _parser
from edge.config import Settings
from tests.support import inputs
from tests.support.box import WAIT_S, eventually
from tests.support.damage import garbage, missing
from tests.support.studies import ready_box

# A shell starts what it puts into the background deaf to Ctrl-C, and the tests may run there.
_HEARING = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"


def analyzing(folder: Path) -> subprocess.Popen[str]:
    analyze = [sys.executable, "-m", "edge", "analyze", "--json", str(folder)]
    command = [sys.executable, "-c", _HEARING, *analyze]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_ctrl_c_ends_a_reading_without_a_traceback(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "never ending")
    with analyzing(tmp_path / "never ending") as process:
        eventually(lambda: psutil.Process(process.pid).children())
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=WAIT_S)
    assert (process.returncode, output, errors) == (130, "", "")


def test_a_reader_of_the_output_that_leaves_early_causes_no_traceback(tmp_path: Path) -> None:
    for number in range(3):
        inputs.text_file(tmp_path / f"{number}.txt")
    with analyzing(tmp_path) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_wrong_usage_has_an_exit_status_of_its_own() -> None:
    command = [sys.executable, "-m", "edge", "analyze"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2


def test_a_name_of_a_file_that_a_terminal_would_obey_is_written_harmlessly(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\x1b[31m.txt")).write_text("no image")
    run = subprocess.run([sys.executable, "-m", "edge", "analyze", str(tmp_path)], capture_output=True, check=False)
    assert (run.returncode, run.stderr) == (1, b"")
    shown = f"{tmp_path}/\N{REPLACEMENT CHARACTER}?[31m.txt | quarantined | "
    assert run.stdout.decode().startswith(shown)


def told(box: Settings, *arguments: str) -> tuple[int, str]:
    config = box.data_dir / "clinic.toml"
    config.write_text(f'data_dir = "{box.data_dir}"\n')
    command = [sys.executable, "-m", "edge", "--config", str(config), *arguments]
    run = subprocess.run(command, capture_output=True, check=False, text=True)
    return run.returncode, run.stderr


@pytest.mark.parametrize(("damage", "words"), [(missing, "There is no database."), (garbage, "damaged")])
@pytest.mark.parametrize("command", [("audit", "verify"), ("quarantine", "list")])
def test_a_command_ends_in_plain_words_where_the_database_is_gone_or_damaged(
    tmp_path: Path, command: tuple[str, str], damage: Callable[[Path], None], words: str
) -> None:
    box = ready_box(tmp_path)
    damage(box.database)
    status, errors = told(box, *command)
    assert status == 1
    assert errors.startswith("chest-edge: ") and words in errors and errors.count("\n") == 1


def commands(parser: argparse.ArgumentParser, words: str = "") -> Iterator[tuple[str, Callable[..., int]]]:
    """Every command and what runs it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, below in action.choices.items():
                yield from commands(below, f"{words} {word}")
    if run := parser.get_default("run"):
        yield words, run


NAMED = [(words, run.args) for words, run in commands(_parser()) if isinstance(run, partial)]


@pytest.mark.parametrize(("words", "named"), NAMED, ids=[words.strip() for words, _ in NAMED])
def test_a_command_that_is_named_by_text_exists_and_takes_its_arguments(
    words: str, named: tuple[str, Sequence[str]]
) -> None:
    target, names = named
    function = pkgutil.resolve_name(target)
    inspect.signature(function).bind("settings", *names)
    assert inspect.get_annotations(function, eval_str=True)["return"] is int
