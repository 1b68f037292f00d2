"""The reader: every file gets its image or its own reason, and the reader lives on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from edge.dicom.image import UnreadableImageError
from edge.dicom.reader import Reader
from edge.errors import UnreadableError
from tests.support import bombs, inputs
from tests.support.public_data import ROOT

SHARED = ROOT / "dicom"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data (or CHEST_EDGE_DATA)")


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Reader() as shared:
        yield shared


def code_of(reader: Reader, path: Path) -> str:
    with pytest.raises(UnreadableError) as caught:
        reader.read(path)
    return caught.value.code


def test_a_radiograph_comes_with_its_header(reader: Reader, tmp_path: Path) -> None:
    image = reader.read(inputs.chest_dicom(tmp_path / "a.dcm"))
    assert image.patient is not None
    assert (image.modality, image.patient.name, image.is_picture) == ("DX", "Phantom^Test", False)
    radiograph = image.radiograph
    assert (radiograph.pixels.dtype, radiograph.pixels.shape) == (np.float32, (512, 448))
    assert (radiograph.view, radiograph.patient_age_years) == ("PA", 56.0)
    assert radiograph.pixel_spacing_mm == (0.8, 0.8)


def test_a_picture_has_no_header(reader: Reader, tmp_path: Path) -> None:
    image = reader.read(inputs.chest_png(tmp_path / "a.png"))
    assert (image.is_picture, image.patient, image.modality, image.study_instance_uid) == (True, None, None, None)
    assert image.radiograph.pixels.shape == (512, 448)


def test_a_picture_and_its_object_show_the_same(reader: Reader, tmp_path: Path) -> None:
    picture = reader.read(inputs.chest_png(tmp_path / "a.png")).radiograph.pixels
    stored = reader.read(inputs.chest_dicom(tmp_path / "a.dcm")).radiograph.pixels
    assert np.corrcoef(picture.ravel(), stored.ravel())[0, 1] > 0.999


def test_a_picture_of_16_bits_uses_its_range(reader: Reader, tmp_path: Path) -> None:
    Image.fromarray(inputs.phantom(bits=12)).save(tmp_path / "deep.png")
    pixels = reader.read(tmp_path / "deep.png").radiograph.pixels
    assert (pixels.min(), pixels.max()) == (0.0, 1.0)


def test_twins_on_the_disk_are_bit_equal(reader: Reader, tmp_path: Path) -> None:
    two, one = inputs.monochrome_twins(tmp_path)
    np.testing.assert_array_equal(reader.read(two).radiograph.pixels, reader.read(one).radiograph.pixels)


def test_a_real_radiograph_of_zero_spacing_has_none(reader: Reader) -> None:
    image = reader.read(inputs.example("RG1_UNCR.dcm"))
    assert image.radiograph.pixels.shape == (1955, 1841)
    assert image.radiograph.pixel_spacing_mm is None


def test_lossless_compression_changes_no_pixel(reader: Reader) -> None:
    plain = reader.read(inputs.example("RG3_UNCR.dcm")).radiograph.pixels
    packed = reader.read(inputs.example("RG3_J2KR.dcm")).radiograph.pixels
    np.testing.assert_array_equal(plain, packed)


@pytest.mark.parametrize("name", list(inputs.REFUSED))
def test_every_bad_file_has_its_own_reason_and_the_reader_lives_on(reader: Reader, tmp_path: Path, name: str) -> None:
    write, expected = inputs.REFUSED[name]
    assert code_of(reader, write(tmp_path / "bad")) == expected
    reader.read(inputs.chest_dicom(tmp_path / "good.dcm"))


@pytest.mark.parametrize("keep", [0.005, 0.3, 0.999])
@pytest.mark.parametrize("name", ["RG3_UNCR.dcm", "RG3_J2KR.dcm", "693_J2KR.dcm"])
def test_a_file_cut_anywhere_is_refused(reader: Reader, tmp_path: Path, name: str, keep: float) -> None:
    assert code_of(reader, inputs.truncated(tmp_path / "cut", inputs.example(name), keep)) == "truncated"


def test_a_truncated_picture_says_so(reader: Reader, tmp_path: Path) -> None:
    whole = inputs.chest_png(tmp_path / "a.png")
    assert code_of(reader, inputs.truncated(tmp_path / "cut.png", whole, 0.5)) == "truncated"


@pytest.mark.parametrize(
    "write",
    [inputs.noise_behind_a_preamble, inputs.impossible_bits],
)
def test_broken_objects_are_refused_one_way_or_another(reader: Reader, tmp_path: Path, write: inputs.Writer) -> None:
    assert code_of(reader, write(tmp_path / "bad")) in {"undecodable", "truncated", "not_dicom"}


def test_a_header_that_breaks_the_parser_is_no_matter_of_limits(reader: Reader, tmp_path: Path) -> None:
    path = inputs.chest_dicom(tmp_path / "a.dcm")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"\x02\x00\x10\x00UI", b"\x02\x00\x10\x00\x55\xfb", 1))
    reader.read(inputs.chest_dicom(tmp_path / "good.dcm"))
    child = reader.child_pid
    assert code_of(reader, path) == "undecodable"
    assert reader.child_pid == child


def test_the_list_of_files_on_a_disc_is_named(reader: Reader) -> None:
    with pytest.raises(UnreadableError) as caught:
        reader.read(Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests" / "DICOMDIR")
    assert (caught.value.code, caught.value.values) == ("unsupported_object", {"modality": "DICOMDIR"})


def test_a_photograph_of_a_film_with_a_preview_behind_it_is_one_picture(reader: Reader, tmp_path: Path) -> None:
    film = Image.fromarray(inputs.phantom(bits=8).astype(np.uint8))
    film.save(tmp_path / "phone.jpg", "MPO", save_all=True, append_images=[film.resize((112, 128))])
    assert reader.read(tmp_path / "phone.jpg").radiograph.pixels.shape == (512, 448)


def test_an_object_that_hides_its_size_is_stopped(reader: Reader, tmp_path: Path) -> None:
    path = inputs.huge_jpeg2000_dicom(tmp_path / "bomb.dcm", header_side_px=512)
    assert code_of(reader, path) in {"undecodable", "too_much_memory"}
    reader.read(inputs.chest_dicom(tmp_path / "good.dcm"))


@pytest.mark.parametrize(("name", "modality"), [("MR2_UNCR.dcm", "MR"), ("US1_UNCR.dcm", "US"), ("JPEG-LL.dcm", "NM")])
def test_other_kinds_of_objects_are_named(reader: Reader, name: str, modality: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        reader.read(inputs.example(name))
    assert (caught.value.code, caught.value.values) == ("unsupported_object", {"modality": modality})


def test_a_refused_object_keeps_what_its_header_says(reader: Reader, tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError) as caught:
        reader.read(inputs.ultrasound_multi_frame(tmp_path / "us.dcm"))
    header = caught.value.header
    assert header is not None and header.patient is not None
    assert (header.modality, header.patient.patient_id) == ("US", "PHANTOM-1")


def test_a_missing_file_and_a_folder_are_no_images(reader: Reader, tmp_path: Path) -> None:
    assert code_of(reader, tmp_path / "absent") == "not_dicom"
    assert code_of(reader, tmp_path) == "not_dicom"


def test_time_is_limited_and_a_new_child_takes_over(tmp_path: Path) -> None:
    path = inputs.chest_dicom(tmp_path / "a.dcm")
    with Reader(file_s=5) as reader:
        reader.read(path)
        stopped = reader.child_pid
        assert stopped is not None
        os.kill(stopped, signal.SIGSTOP)
        reader._file_s = 0.2
        assert code_of(reader, path) == "too_slow"
        reader._file_s = 5
        reader.read(path)
        assert reader.child_pid != stopped


def test_memory_is_limited_and_the_next_file_is_read(tmp_path: Path) -> None:
    with Reader(memory_bytes=200 << 20) as reader:
        assert code_of(reader, inputs.huge_png(tmp_path / "large.png", side_px=9000)) == "too_much_memory"
        reader.read(inputs.chest_dicom(tmp_path / "good.dcm"))


@pytest.mark.parametrize(
    ("write", "code"),
    [
        (bombs.deflated, "unsupported_transfer_syntax"),
        (lambda path: bombs.deflated(path, preamble=False), "unsupported_transfer_syntax"),
        (bombs.deep, "too_deep"),
        (bombs.many_elements, "too_many_elements"),
        (bombs.many_items_by_the_way, "too_many_elements"),
        (bombs.many_fragments, "too_many_elements"),
        (bombs.huge_text, "header_too_large"),
        (bombs.rle, "too_many_pixels"),
        (bombs.damaged_rle, "undecodable"),
        (bombs.long_end, "no_pixel_data"),
    ],
)
def test_what_asks_for_too_much_is_named_by_a_child_that_lives_on(
    reader: Reader, tmp_path: Path, write: bombs.Writer, code: str
) -> None:
    reader.read(inputs.chest_dicom(tmp_path / "good.dcm"))
    child = reader.child_pid
    assert code_of(reader, write(tmp_path / "bomb")) == code
    assert reader.child_pid == child


def test_the_largest_image_is_read_band_by_band(tmp_path: Path) -> None:
    stored = np.resize(np.arange(65521, dtype=np.uint16), (9000, 9000))
    path = inputs.save(inputs.dx(stored, bits=16), tmp_path / "large.dcm")
    with Reader(memory_bytes=256 << 20) as reader:  # of which libraries take 160
        np.testing.assert_array_equal(
            reader.read(path).radiograph.pixels, stored.astype(np.float32) / np.float32(65520)
        )


def test_the_child_has_no_more_than_it_needs(reader: Reader, tmp_path: Path) -> None:
    reader.read(inputs.chest_dicom(tmp_path / "good.dcm"))
    limits = Path(f"/proc/{reader.child_pid}/limits").read_text()
    for name, value in (
        ("address space", 512 << 20),
        ("open files", 64),
        ("file size", 600_000_000),
        ("cpu time", r"\d+"),
    ):
        assert re.search(rf"Max {name} +{value} ", limits), name
    assert "NoNewPrivs:\t1" in Path(f"/proc/{reader.child_pid}/status").read_text()


def test_a_child_that_stays_large_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = inputs.chest_dicom(tmp_path / "a.dcm")
    with Reader() as reader:
        reader.read(path)
        first = reader.child_pid
        monkeypatch.setattr("edge.dicom.reader._GROWN_BYTES", 1 << 20)
        reader.read(path)
        assert reader.child_pid != first


def test_a_file_that_used_up_its_processor_time_is_named_as_slow(tmp_path: Path) -> None:
    path = inputs.chest_dicom(tmp_path / "a.dcm")
    with Reader() as reader:
        reader.read(path)
        child = reader.child_pid
        assert child is not None
        os.kill(child, signal.SIGSTOP)
        os.kill(child, signal.SIGXCPU)  # as the kernel does at the limit; pending until it goes on
        assert reader._child is not None
        asked = threading.Timer(0.2, os.kill, (child, signal.SIGCONT))
        asked.start()
        assert code_of(reader, path) == "too_slow"
        reader.read(path)


def test_a_killed_child_is_replaced(tmp_path: Path) -> None:
    path = inputs.chest_dicom(tmp_path / "a.dcm")
    with Reader() as reader:
        reader.read(path)
        first = reader.child_pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
        reader.read(path)
        assert reader.child_pid != first


def test_the_child_is_replaced_after_its_share_of_files(tmp_path: Path) -> None:
    path = inputs.chest_dicom(tmp_path / "a.dcm")
    with Reader(files=2) as reader:
        pids = []
        for _ in range(5):
            reader.read(path)
            pids.append(reader.child_pid)
    assert [a == b for a, b in zip(pids, pids[1:], strict=False)] == [True, False, True, False]


def test_nothing_is_printed_while_reading_broken_values(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    dataset = inputs.dx()
    path = inputs.save(dataset, tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes().replace(b"056Y", b"CANA").replace(b"19700102", b"CANARY!!"))
    with Reader() as reader:
        assert reader.read(path).radiograph.patient_age_years is None
    assert capfd.readouterr() == ("", "")


def test_the_child_never_loads_opencv() -> None:
    program = "import sys, edge.dicom.child, edge.dicom.parse; sys.exit('cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@needs_shared
@pytest.mark.parametrize("path", sorted((SHARED / "transfer_syntax").glob("*.dcm")), ids=lambda path: path.stem)
def test_every_transfer_syntax_shows_the_same_image(reader: Reader, path: Path) -> None:
    if "Deflated" in path.name:
        assert code_of(reader, path) == "unsupported_transfer_syntax"
        return
    plain = reader.read(SHARED / "transfer_syntax" / "ct_LittleEndianExplicit__1.2.840.10008.1.2.1.dcm")
    image = reader.read(path)
    assert image.modality == "CT"
    # 8-bit JPEG keeps 255 levels of the 4,400; the lossless ones keep all.
    assert np.abs(image.radiograph.pixels - plain.radiograph.pixels).mean() < 0.03


@needs_shared
def test_a_bare_data_set_without_a_preamble_is_read(reader: Reader) -> None:
    image = reader.read(SHARED / "cr_chest_mono1_10bit.dcm")
    assert (image.modality, image.radiograph.pixels.shape) == ("CR", (440, 440))
