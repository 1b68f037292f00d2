"""The registry: only the file that was tested is run, and what is wrong is said for each model."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge.__main__ import main
from edge.config import Settings
from edge.engines import registry
from edge.engines.engine import ModelCard
from edge.errors import ModelError
from edge.pipeline.reading import load_engines
from edge.pipeline.runner import RADIOGRAPH_STAGES, TOMOGRAPH_STAGES, models_of

SEED = 20260301
DAMAGES = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped models and their registry."""
    copy = tmp_path / "models"
    copy.mkdir()
    shutil.copy(registry.default_folder() / "registry.toml", copy)
    (copy / "__init__.py").touch()
    for card in registry.cards().values():
        target = copy / card.path.relative_to(registry.default_folder())
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(card.path, target)
    return copy


@pytest.fixture
def smallest(folder: Path) -> ModelCard:
    needed = {stage.model for stage in RADIOGRAPH_STAGES}
    known = (card for name, card in registry.cards(folder).items() if name in needed)
    return min(known, key=lambda card: card.path.stat().st_size)


def edit(folder: Path, old: str, new: str, *, last: bool = False) -> None:
    path = folder / "registry.toml"
    before, found, after = (str.rpartition if last else str.partition)(path.read_text(), old)
    assert found
    path.write_text(before + new + after)


def code_of(card: ModelCard) -> str:
    with pytest.raises(ModelError) as caught:
        registry.load(card, threads=1)
    assert caught.value.values["model"] == card.name
    return caught.value.code


def verify(folder: Path) -> subprocess.CompletedProcess[str]:
    """``chest-edge models verify`` where another folder takes the place of the shipped models."""
    command = [sys.executable, "-m", "edge", "models", "verify"]
    environment = {**os.environ, "PYTHONPATH": str(folder.parent)}
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)


def test_every_stage_has_a_model_that_loads_and_answers() -> None:
    for stage in RADIOGRAPH_STAGES:
        engine = registry.load(registry.cards()[stage.model], threads=1)
        side = engine.card.side
        answer = engine.run(np.full((2, side, side), 0.5, np.float32))
        assert answer.dtype == np.float32
        assert answer.shape[:2] == (2, len(engine.card.outputs))
        assert np.isfinite(answer).all()


def test_the_bytes_that_are_run_are_those_of_the_registered_hash(smallest: ModelCard) -> None:
    assert hashlib.sha256(registry.verified_bytes(smallest)).hexdigest() == smallest.sha256


def test_no_changed_byte_and_no_shorter_file_is_ever_loaded(
    smallest: ModelCard, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(f"\nDamaged model files: seed {SEED}")
    rng = np.random.default_rng(SEED)
    whole = smallest.path.read_bytes()
    positions = [0, len(whole) - 1, *rng.integers(len(whole), size=DAMAGES).tolist()]
    for position in positions:
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(rng.integers(8))
        for content in (damaged, whole[:position]):
            smallest.path.write_bytes(content)
            assert code_of(smallest) == "model_hash_mismatch", position
    smallest.path.write_bytes(whole)
    registry.load(smallest, threads=1)


def test_a_longer_file_is_not_loaded(smallest: ModelCard) -> None:
    with smallest.path.open("ab") as file:
        file.write(b"\0")
    assert code_of(smallest) == "model_hash_mismatch"


def test_a_missing_file_is_missing(smallest: ModelCard) -> None:
    smallest.path.unlink()
    assert code_of(smallest) == "model_missing"
    smallest.path.mkdir()
    assert code_of(smallest) == "model_missing"


def test_a_registered_file_that_no_runtime_takes_is_broken(smallest: ModelCard, folder: Path) -> None:
    smallest.path.write_bytes(b"no network")
    path = folder / "registry.toml"
    path.write_text(path.read_text().replace(smallest.sha256, hashlib.sha256(b"no network").hexdigest()))
    assert code_of(registry.cards(folder)[smallest.name]) == "model_broken"


def test_a_file_is_hashed_and_run_from_one_reading(smallest: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever swaps the file between the check and the start gains nothing."""
    readings: list[Path] = []
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: (readings.append(path), real(path))[1])
    registry.load(smallest, threads=1)
    assert readings == [smallest.path]


def test_thresholds_of_another_file_refuse_to_serve(smallest: ModelCard, folder: Path) -> None:
    edit(folder, smallest.sha256, "0" * 64, last=True)
    with pytest.raises(ModelError) as caught:
        registry.cards(folder)
    assert (caught.value.code, caught.value.values) == ("threshold_mismatch", {"model": smallest.name})


def test_check_finds_nothing_wrong_with_what_is_shipped() -> None:
    found = registry.check(stage.model for stage in RADIOGRAPH_STAGES)
    assert found
    assert set(found.values()) == {None}


@pytest.mark.parametrize("damage", ["model_missing", "model_hash_mismatch", "threshold_mismatch"])
def test_check_names_the_fault_of_one_model_and_finds_the_others_whole(
    smallest: ModelCard, folder: Path, damage: str
) -> None:
    if damage == "model_missing":
        smallest.path.unlink()
    elif damage == "model_hash_mismatch":
        smallest.path.write_bytes(b"x")
    else:
        edit(folder, smallest.sha256, "0" * 64, last=True)
    codes = {name: fault and fault.code for name, fault in registry.check(folder=folder).items()}
    assert codes.pop(smallest.name) == damage
    assert set(codes.values()) <= {None}
    assert set(codes) == set(registry.cards()) - {smallest.name}


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"[models", b"models = 3\n", b"models.a = 'b'\n", None])
def test_a_damaged_list_of_models_is_said_in_plain_words(folder: Path, content: bytes | None) -> None:
    path = folder / "registry.toml"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        registry.cards(folder)
    assert caught.value.code == "registry_broken"
    engines = load_engines(Settings(), folder)
    assert {fault.code for fault in engines.values() if isinstance(fault, ModelError)} == {"registry_broken"}
    assert engines.keys() == models_of(RADIOGRAPH_STAGES) | models_of(TOMOGRAPH_STAGES)


def test_an_entry_without_its_hash_is_not_loaded(smallest: ModelCard, folder: Path) -> None:
    edit(folder, f'sha256 = "{smallest.sha256}"\n', "")
    fault = registry.check(folder=folder)[smallest.name]
    assert isinstance(fault, ModelError) and fault.code == "registry_broken"


def test_a_fault_of_one_model_leaves_the_other_engines(smallest: ModelCard, folder: Path) -> None:
    edit(folder, smallest.sha256, "0" * 64, last=True)
    engines = load_engines(Settings(), folder)
    faulty = {name: engine for name, engine in engines.items() if isinstance(engine, ModelError)}
    assert {name: fault.code for name, fault in faulty.items()} == {smallest.name: "threshold_mismatch"}


def test_a_model_that_nobody_registered_is_unknown(smallest: ModelCard, folder: Path) -> None:
    path = folder / "registry.toml"
    path.write_text(path.read_text().replace(f"[models.{smallest.name}", "[models.stranger"))
    faults = (load_engines(Settings(), folder), registry.check([smallest.name], folder))
    for fault in (found[smallest.name] for found in faults):
        assert isinstance(fault, ModelError) and fault.code == "model_unknown"


def test_verify_says_ok_for_each_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "verify"]) == 0
    assert capsys.readouterr().out.split() == [word for name in registry.cards() for word in (f"{name}:", "ok")]


def test_verify_fails_and_says_which_file_is_not_the_tested_one(smallest: ModelCard, folder: Path) -> None:
    smallest.path.write_bytes(smallest.path.read_bytes()[:-1])
    done = verify(folder)
    assert (done.returncode, done.stderr) == (1, "")
    text = "is not the one that was tested. Install the box again."
    assert f"{smallest.name}: The model file of {smallest.name} {text}" in done.stdout.splitlines()
    assert done.stdout.count(text) == 1


def test_verify_says_that_the_list_of_models_is_damaged(folder: Path) -> None:
    (folder / "registry.toml").write_text("[models")
    done = verify(folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "chest-edge: The list of models is damaged. Install the box again.\n"
