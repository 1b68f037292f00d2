"""The pictures of a CT in one file: what was written is read back, and nothing else is."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.config import Settings
from edge.errors import PictureError, StorageError
from edge.store import backup, budget, retention, stack, studies
from edge.store.database import connect, writing
from edge.store.restore import restore
from edge.store.stack import Layer, StackFile
from tests.support.ct_result import lesion, phantom, put_ct, stack_of, tissue_of
from tests.support.studies import ready_box


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = phantom()
    stack.write(tmp_path / "stack.zip", stack_of(made.volume.hu, tissue_of(made)))
    return tmp_path / "stack.zip"


def test_what_was_written_is_read_back(path: Path) -> None:
    made, found = phantom(), StackFile(path)
    assert found.meta == stack_of(made.volume.hu, tissue_of(made)).meta
    assert found.meta.slices == 30
    whole = np.stack([np.asarray(Image.open(io.BytesIO(picture))) for picture in found.pictures(Layer.TISSUE)])
    np.testing.assert_array_equal(whole, tissue_of(made))
    assert found.picture(Layer.LUNG, 7) != found.picture(Layer.LUNG, 8)
    assert found.picture(Layer.MEDIASTINUM, 7).startswith(b"\xff\xd8")
    assert found.overview(Layer.TISSUE).startswith(b"\x89PNG")


def test_other_programs_read_the_file_too(path: Path) -> None:
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        assert {entry.compress_type for entry in file.infolist()} == {zipfile.ZIP_STORED}
        assert file.read("lung/0001.jpg") == StackFile(path).picture(Layer.LUNG, 1)
        assert len(file.namelist()) == 3 * 30 + 3


@pytest.mark.parametrize("number", [-1, 0, 31, 10**9])
def test_there_is_no_picture_of_a_slice_that_is_not_there(path: Path, number: int) -> None:
    with pytest.raises(PictureError):
        StackFile(path).picture(Layer.LUNG, number)


def test_there_is_no_overview_of_a_layer_that_has_none(path: Path) -> None:
    with pytest.raises(PictureError):
        StackFile(path).overview(Layer.MEDIASTINUM)


@pytest.mark.parametrize("length", [0, 10, 5000, -30])
def test_a_file_that_was_cut_is_no_stack(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(PictureError):
        StackFile(path)


def test_a_missing_file_is_no_stack(tmp_path: Path) -> None:
    with pytest.raises(PictureError):
        StackFile(tmp_path / "stack.zip")


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"slices": "many"}', b"\xff"])
def test_a_zip_of_something_else_is_no_stack(path: Path, content: bytes) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("stack.json", content)
    with pytest.raises(PictureError):
        StackFile(path)


def test_a_changed_picture_is_not_shown(path: Path) -> None:
    picture = StackFile(path).picture(Layer.LUNG, 3)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(picture, picture[:-40] + bytes(40)))
    assert StackFile(path).picture(Layer.LUNG, 2)
    with pytest.raises(PictureError):
        StackFile(path).picture(Layer.LUNG, 3)


def test_a_stack_that_goes_while_it_is_open_has_no_picture(path: Path) -> None:
    found = StackFile(path)
    path.unlink()
    with pytest.raises(PictureError):
        found.picture(Layer.LUNG, 1)


def test_a_stack_with_too_few_pictures_is_not_written(path: Path) -> None:
    made = phantom()
    whole = stack_of(made.volume.hu, tissue_of(made))
    path.unlink()
    with pytest.raises(ValueError, match="shorter"):
        stack.write(path, replace(whole, tissue=[b"one"]))
    assert list(path.parent.iterdir()) == []


def test_writing_into_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    made = phantom()
    with pytest.raises(StorageError):
        stack.write(tmp_path / "gone" / "stack.zip", stack_of(made.volume.hu, tissue_of(made)))


def test_a_large_stack_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    made, many = phantom(), [bytes(100_000)] * 200
    large = replace(stack_of(made.volume.hu, tissue_of(made)), lung=many, mediastinum=many, tissue=many)
    large = replace(large, meta=replace(large.meta, slices=200))
    tracemalloc.start()
    stack.write(tmp_path / "large.zip", large)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "large.zip").stat().st_size > 60e6
    assert peak < 3e6


def test_the_stack_goes_counts_and_returns_as_the_preview_does(tmp_path: Path) -> None:
    first, second = ready_box(tmp_path / "first"), ready_box(tmp_path / "second")
    key = put_ct(first)
    place = studies.stack_path(first, key, 1)
    content, before = place.read_bytes(), budget.measure(first)

    backup.back_up(first, None, tmp_path / "box.backup", "correct horse battery")
    restore(second, tmp_path / "box.backup", "correct horse battery")
    assert studies.stack_path(second, key, 1).read_bytes() == content

    delete(first, key)
    assert not place.exists()
    assert budget.measure(first) <= before - len(content)


def delete(box: Settings, key: str) -> None:
    """Delete a study as the box does where it lacks room."""
    tight = replace(box, storage=replace(box.storage, budget_mb=1, keep_days=0))
    with connect(box.database) as database:
        found = studies.study(database, key)
        assert found is not None
        retention.note_view(database, key, found.state, found.version)
        with writing(database):
            database.execute("UPDATE facts SET value = 1e9 WHERE name = 'used_bytes'")
        assert retention.make_room(database, tight) == 1


def test_key_slices_are_those_of_the_largest_lesions_and_not_close_to_each_other() -> None:
    found = [lesion(number=n, volume_ml=v) for n, v in ((50, 90), (52, 80), (20, 70), (80, 60), (35, 50), (65, 40))]
    assert stack.key_slices({"series": {"slices": 100}, "findings": found}) == [20, 35, 50, 80]


def test_key_slices_without_lesions_lie_evenly() -> None:
    assert stack.key_slices({"series": {"slices": 100}, "findings": []}) == [35, 50, 65]
    assert stack.key_slices({"series": {"slices": 100}, "findings": [lesion(number=50)]}) == [35, 50, 65]


@pytest.mark.parametrize(
    ("series", "chosen"), [(None, []), ({}, []), ({"slices": 0}, []), ({"slices": 1}, [1]), ({"slices": 3}, [1, 2])]
)
def test_key_slices_are_there_however_few_slices_are(series: dict[str, int] | None, chosen: list[int]) -> None:
    found = stack.key_slices({"series": series, "findings": None})
    assert found == chosen
