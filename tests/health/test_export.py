"""``chest-edge export --anonymized``: what leaves the box tells nobody whose it was, and reads the same."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import config as pydicom_config
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from edge.__main__ import main
from edge.config import Settings
from edge.dicom.profile import ALLOWED, RENEW, action_of, actions
from edge.dicom.reader import Reader
from edge.store import instances, journal
from edge.store.database import opened
from tests.support import canaries, inputs
from tests.support.public_data import ROOT, needs_public_data
from tests.support.studies import ATTRIBUTES, new_instance, ready_box

RG1 = inputs.example("RG1_UNCR.dcm")
CHECKED = ("--burned-in-checked",)


@pytest.fixture(name="box")
def _box(tmp_path: Path) -> Settings:
    return ready_box(tmp_path / "var")


@pytest.fixture(name="careless")
def _careless(monkeypatch: pytest.MonkeyPatch) -> None:
    """pydicom writes what breaks the rules of its kind."""
    monkeypatch.setattr(pydicom_config.settings, "writing_validation_mode", pydicom_config.IGNORE)
    monkeypatch.setattr(pydicom_config.settings, "reading_validation_mode", pydicom_config.IGNORE)


def stored(box: Settings, *sources: Path) -> str:
    """One study of these files, as the box keeps it; returns its key."""
    with opened(box.database) as database:
        for source in sources:
            receipt = instances.add_received(database, new_instance(path=Path(f"{source.stem}.dcm")))
            (box.incoming / f"{source.stem}.dcm").write_bytes(source.read_bytes())
            key = instances.attach(database, receipt.instance_id, ATTRIBUTES_OF_ONE)
    return key


ATTRIBUTES_OF_ONE = instances.Attributes(
    **{
        name: getattr(ATTRIBUTES, name)
        for name in ("series_instance_uid", "modality", "accession_number", "patient_name", "patient_id")
    },
    birth_date=None,
    sex="",
    study_instance_uid="1.2.3",
)


def export(box: Settings, key: str, out: Path, *options: str) -> int:
    """Exit status of the command."""
    config = box.data_dir.parent / "box.toml"
    config.write_text(f'data_dir = "{box.data_dir}"\n')
    return main(["--config", str(config), "export", key, "--anonymized", "--out", str(out), *options])


def exported(box: Settings, out: Path, *sources: Path) -> list[Dataset]:
    """The images that the command writes of these files."""
    assert export(box, stored(box, *sources), out, *CHECKED) == 0
    return [pydicom.dcmread(path) for path in sorted(out.iterdir())]


@pytest.mark.usefixtures("careless")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 192", "Zażółć^Žofie"),
        ("ISO_IR 100", "Müller^Zoë"),
        ("ISO_IR 144", "Люкceмбypг"),
        ("ISO_IR 192", canaries.NAME),
        ("GB18030", "王^小东"),
        (canaries.NAME, canaries.NAME),
    ],
)
def test_no_attribute_brings_a_name_out(box: Settings, tmp_path: Path, charset: str, name: str) -> None:
    source = canaries.image(tmp_path / "source.dcm", charset, name)
    codec = {"ISO_IR 100": "latin-1", "ISO_IR 144": "iso8859-5", "GB18030": "gb18030"}.get(charset, "utf-8")
    told = name.partition("^")[0].encode(codec)
    assert told in source.read_bytes()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "source").write_bytes(source.read_bytes())
    assert len(canaries.hits(tmp_path / "in")) >= 5

    (made,) = exported(box, tmp_path / "out", source)

    assert canaries.hits(tmp_path / "out", told) == []
    assert (tmp_path / "out" / "IM0001.dcm").read_bytes()[:128] == bytes(128)
    assert np.frombuffer(pydicom.dcmread(source).PixelData, "<u2").max() > 4095
    assert made.PixelData == inputs.phantom().astype("<u2").tobytes()  # as bytes: decoding would hide the spare bits
    allowed = {*ALLOWED, *_OWN}
    assert {element.keyword for element in made} <= allowed
    assert made.PatientName == made.PatientID != ""


_OWN = {
    *("SOPClassUID", "PatientName", "PatientID", "InstanceNumber", "Manufacturer", "PatientIdentityRemoved"),
    *("DeidentificationMethod", "DeidentificationMethodCodeSequence", "LongitudinalTemporalInformationModified"),
    *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "PixelData", "PlanarConfiguration"),
}


@pytest.mark.usefixtures("careless")
@pytest.mark.filterwarnings("ignore")
def test_what_the_profile_removes_is_never_there(box: Settings, tmp_path: Path) -> None:
    (made,) = exported(box, tmp_path / "out", canaries.image(tmp_path / "source.dcm"))
    listed = actions()
    assert len(listed) > 600
    there = {int(element.tag): element for element in made.iterall() if not element.is_private}
    removed = [str(there[tag].tag) for tag, action in listed.items() if action == "X" and tag in there]
    kept = [e.keyword for t, e in there.items() if listed.get(t) == "Z" and e.value and e.keyword not in _PSEUDONYMS]
    assert (removed, kept) == ([], [])


_PSEUDONYMS = ("PatientName", "PatientID")


def test_the_canaries_stand_in_every_attribute_that_may_stay() -> None:
    listed = set(canaries.keywords())
    assert set(ALLOWED) - listed == {"Modality"}
    assert len(listed) > 4000
    assert {k for k in ALLOWED if action_of(k, actions()) == RENEW} == {k for k in ALLOWED if k.endswith("InstanceUID")}


def test_identifiers_are_new_and_agree_within_one_export(box: Settings, tmp_path: Path) -> None:
    first, second = inputs.dx(), inputs.dx()
    second.StudyInstanceUID, second.SeriesInstanceUID = first.StudyInstanceUID, first.SeriesInstanceUID
    sources = [inputs.save(dataset, tmp_path / f"{n}.dcm") for n, dataset in enumerate((first, second))]
    one, two = exported(box, tmp_path / "out", *sources)
    assert one.StudyInstanceUID == two.StudyInstanceUID != first.StudyInstanceUID
    assert one.SeriesInstanceUID == two.SeriesInstanceUID != one.StudyInstanceUID
    assert one.SOPInstanceUID != two.SOPInstanceUID
    assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID
    assert one.PatientID == two.PatientID
    with opened(box.database) as database:
        key = database.execute("SELECT study_key FROM studies").fetchone()["study_key"]
    assert export(box, key, tmp_path / "again", *CHECKED) == 0
    again = pydicom.dcmread(tmp_path / "again" / "IM0001.dcm")
    assert {again.StudyInstanceUID, again.PatientID}.isdisjoint({one.StudyInstanceUID, one.PatientID})


def test_a_comment_inside_of_a_jpeg_stays_behind(box: Settings, tmp_path: Path) -> None:
    content = io.BytesIO()
    grey = Image.fromarray((inputs.phantom() >> 4).astype(np.uint8))
    grey.save(content, "JPEG", quality=90, comment=canaries.NAME.encode())
    source = inputs.dx(bits=8, BitsAllocated=8)
    source.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    source.PixelData = encapsulate([content.getvalue()])
    path = inputs.save(source, tmp_path / "source.dcm")
    assert canaries.NAME.encode() in path.read_bytes()
    (made,) = exported(box, tmp_path / "out", path)
    assert canaries.hits(tmp_path / "out") == []
    assert np.array_equal(made.pixel_array, pydicom.dcmread(path).pixel_array)
    assert made.LossyImageCompression == "01"


@pytest.mark.parametrize(
    ("elements", "code"),
    [
        ({}, "burned_in"),
        ({"BurnedInAnnotation": "YES"}, "burned_in"),
        ({"BurnedInAnnotation": "NO", "ConversionType": "DF"}, "burned_in"),
        ({"BurnedInAnnotation": "NO", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "burned_in"),
        ({"BurnedInAnnotation": "NO", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "no radiograph"),
        ({"BurnedInAnnotation": "NO"}, ""),
    ],
)
def test_what_may_show_a_name_needs_a_look(
    box: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], elements: dict[str, Any], code: str
) -> None:
    good = inputs.save(inputs.dx(BurnedInAnnotation="NO"), tmp_path / "good.dcm")
    key = stored(box, good, inputs.save(inputs.dx(**elements), tmp_path / "source.dcm"))
    status = export(box, key, tmp_path / "out")
    said = capsys.readouterr().err
    assert (status, len(list((tmp_path / "out").iterdir()))) == ((1, 0) if code else (0, 2))
    assert {"burned_in": "--burned-in-checked", "": ""}.get(code, code) in said


@pytest.mark.parametrize("data", [canaries.NAME.encode() + b"!", np.arange(5, dtype="<u2").tobytes()])
def test_a_table_of_greys_is_one_or_nothing_leaves(box: Settings, tmp_path: Path, data: bytes) -> None:
    item = Dataset()
    item.LUTDescriptor, item.LUTExplanation = [len(data) // 2, 0, 16], canaries.NAME
    item.add_new("LUTData", "OW", data)
    key = stored(box, inputs.save(inputs.dx(VOILUTSequence=[item]), tmp_path / "source.dcm"))
    is_name = data.startswith(canaries.NAME.encode())
    assert export(box, key, tmp_path / "out", *CHECKED) == int(is_name)
    assert canaries.hits(tmp_path / "out") == []
    if not is_name:
        (table,) = pydicom.dcmread(tmp_path / "out" / "IM0001.dcm").VOILUTSequence
        assert table.LUTData == data


def test_only_what_is_asked_for_leaves_and_it_is_noted(
    box: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = stored(box, inputs.chest_dicom(tmp_path / "source.dcm"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "other").touch()
    assert export(box, key, tmp_path / "full", *CHECKED) == 2
    assert export(box, "0" * 32, tmp_path / "out", *CHECKED) == 2
    with pytest.raises(SystemExit):
        main(["export", key, "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
    assert export(box, key, tmp_path / "out", *CHECKED) == 0
    assert re.search(r"1 images of ANON-[0-9A-F]{8} written", capsys.readouterr().out)
    with opened(box.database) as database:
        noted = [entry for entry in journal.entries(database, 10) if entry.action is journal.Action.EXPORTED]
    assert [dict(entry.fields) for entry in noted] == [{"study_key": key, "count": 1}]
    (box.incoming / "source.dcm").unlink()
    assert export(box, key, tmp_path / "gone", *CHECKED) == 1


def _read(path: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "edge", "analyze", "--json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _assert_reads_the_same(source: Path, made: Path) -> None:
    with Reader() as reader:
        one, other = reader.read(source).radiograph, reader.read(made).radiograph
    assert np.array_equal(one.pixels, other.pixels)
    assert one.pixel_spacing_mm == other.pixel_spacing_mm
    before, after = _read(source), _read(made)
    assert after["state"] == before["state"]
    assert [r["code"] for r in after["reasons"]] == [r["code"] for r in before["reasons"]]
    assert (after["classification"] or {}).get("decision") == (before["classification"] or {}).get("decision")
    assert after["severity"] == before["severity"]


def _faults(path: Path) -> set[str]:
    done = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False, errors="replace")
    return {line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")}


def test_a_real_image_reads_the_same_and_is_as_valid(box: Settings, tmp_path: Path) -> None:
    exported(box, tmp_path / "out", RG1)
    _assert_reads_the_same(RG1, tmp_path / "out" / "IM0001.dcm")
    assert _faults(tmp_path / "out" / "IM0001.dcm") == set()


@needs_public_data
@pytest.mark.parametrize("name", ["cr_chest_mono1_10bit.dcm", "dx_chest_966.dcm"])
def test_images_of_other_makers_read_the_same(box: Settings, tmp_path: Path, name: str) -> None:
    source = ROOT / "dicom" / name
    exported(box, tmp_path / "out", source)
    _assert_reads_the_same(source, tmp_path / "out" / "IM0001.dcm")
    assert _faults(tmp_path / "out" / "IM0001.dcm") - _faults(source) == set()
