"""Settings: what is misspelt or cannot be is an error that names itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge import config
from edge.config import DicomSettings, EngineSettings, Settings, WebSettings
from edge.errors import SetupError
from edge.web.languages import LANGUAGES


def loaded(folder: Path, text: str) -> Settings:
    path = folder / "clinic.toml"
    path.write_text(text, encoding="utf-8")
    return config.load(path)


def test_without_a_file_there_are_the_defaults() -> None:
    assert config.load(None) == Settings()


def test_what_a_file_leaves_out_keeps_its_default(tmp_path: Path) -> None:
    settings = loaded(tmp_path, 'data_dir = "/srv/box"\n[dicom]\nport = 104\n[web]\nlanguage = "fr"\n')
    assert settings == Settings(
        data_dir=Path("/srv/box"), dicom=DicomSettings(port=104), web=WebSettings(language="fr")
    )


def test_settings_survive_their_way_to_a_process() -> None:
    settings = Settings(data_dir=Path("/srv/box"), dicom=DicomSettings(ae_title="X"), engine=EngineSettings(threads=1))
    assert config.from_json(config.to_json(settings)) == settings


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ('data_dri = "x"', "unknown_setting", "data_dri"),
        ("[dicom]\nprot = 104", "unknown_setting", "dicom.prot"),
        ("[dicm]\nport = 104", "unknown_setting", "dicm"),
        ("dicom = 104", "bad_setting", "dicom should be a table"),
        ('[dicom]\nport = "104"', "bad_setting", "dicom.port should be written as 104, without quotes, but it is"),
        ("[dicom]\nport = true", "bad_setting", "dicom.port should be a whole number without quotes, such as 42"),
        ('[dicom]\ntls = "True"', "bad_setting", "dicom.tls should be written as true, without quotes"),
        ("[dicom]\nae_title = 7", "bad_setting", 'dicom.ae_title should be written in quotes, as "7", but it is 7'),
        (
            '[dicom]\naddresses = "192.168.1.5"',
            "bad_setting",
            'dicom.addresses should be a list, such as ["192.168.1.5"], but it is "192.168.1.5"',
        ),
        ("[dicom]\naddresses = 7", "bad_setting", 'should be a list of texts in brackets, such as ["text"]'),
        ("[dicom]\naddresses = [true]", "bad_setting", 'should be text in quotes, such as "text", but it is true'),
        ("[dicom]\nport = 65536", "bad_setting", "dicom.port should be 0 to 65535, but it is 65536"),
        ("[dicom]\nmax_associations = 0", "bad_setting", "dicom.max_associations"),
        ("[web]\nport = -1", "bad_setting", "web.port"),
        ("[web]\nthreads = 1", "bad_setting", "web.threads should be 8 to"),
        ('[web]\nlanguage = "de"', "bad_setting", "web.language should be en or fr, but it is de"),
        ("[engine]\nthreads = -1", "bad_setting", "engine.threads"),
        ("data_dir = ", "config_syntax", "not valid TOML"),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, text: str, code: str, words: str) -> None:
    with pytest.raises(SetupError) as caught:
        loaded(tmp_path, text)
    assert caught.value.code == code
    assert words in str(caught.value)


def test_a_file_that_is_not_there_or_is_a_folder_is_named(tmp_path: Path) -> None:
    for path, code in ((tmp_path / "absent.toml", "file_not_found"), (tmp_path, "unreadable_config")):
        with pytest.raises(SetupError) as caught:
            config.load(path)
        assert caught.value.code == code


def test_the_page_has_every_language_that_may_be_set() -> None:
    assert tuple(LANGUAGES) == config.LANGUAGES


@pytest.mark.parametrize("name", ["folder", "usb"])
@pytest.mark.parametrize("place", ["box", "box/incoming", "", "link", "link/new", "box/../box"])
def test_a_folder_to_take_from_never_overlaps_with_the_data_of_the_box(tmp_path: Path, name: str, place: str) -> None:
    (tmp_path / "box" / "incoming").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "box")
    with pytest.raises(SetupError) as caught:
        loaded(tmp_path, f'data_dir = "{tmp_path}/box"\n[intake]\n{name} = "{tmp_path}/{place}"\n')
    assert caught.value.code == "folders_overlap"
    assert f"intake.{name}" in str(caught.value)


def test_a_link_that_leads_into_the_data_only_later_is_seen_by_each_process_at_its_start(tmp_path: Path) -> None:
    settings = loaded(tmp_path, f'data_dir = "{tmp_path}/box"\n[intake]\nfolder = "{tmp_path}/drop"\n')
    assert settings.intake.folder == f"{tmp_path}/drop"
    (tmp_path / "drop").symlink_to(tmp_path / "box")
    with pytest.raises(SetupError, match="folders_overlap"):
        config.from_json(config.to_json(settings))


def test_a_folder_whose_name_only_begins_alike_is_another(tmp_path: Path) -> None:
    assert loaded(tmp_path, f'data_dir = "{tmp_path}/box"\n[intake]\nfolder = "{tmp_path}/box-drop"\n').intake.folder


DESTINATION = '[[destination]]\nname = "PACS"\nhost = "pacs"\n'


def test_destinations_come_as_tables(tmp_path: Path) -> None:
    file = tmp_path / "box.toml"
    file.write_text(
        DESTINATION + '[[destination]]\nname = "Web"\nkind = "stow"\nurl = "https://x.example"\nobjects = ["sc"]\n'
    )
    settings = config.load(file)
    assert [one.name for one in settings.destination] == ["PACS", "Web"]
    assert settings.destination[1].objects == ("sc",) and not settings.destination[1].asks_commitment
    assert config.from_json(config.to_json(settings)) == settings


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[destination]\nname = "x"\n', "one or more tables, as in [[destination]]"),
        ("[[destination]]\n", "destination[1].name"),
        ('[[destination]]\nname = "<x>"\n', "destination[1].name"),
        ('[[destination]]\nname = "x"\n', "destination[1].host"),
        (DESTINATION + "adress = 1\n", "Unknown setting destination[1].adress"),
        (DESTINATION + 'port = "104"\n', "written as 104"),
        (DESTINATION + 'kind = "ftp"\n', "dicom or stow"),
        (DESTINATION + 'ae_title = "A TITLE THAT IS TOO LONG"\n', "destination[1].ae_title"),
        (DESTINATION + 'objects = ["xyz"]\n', "sc or sr or seg or gsps or pdf"),
        (DESTINATION + DESTINATION, "another one than that of the others"),
        (DESTINATION + 'kind = "stow"\n', "destination[1].url"),
        (DESTINATION + 'kind = "stow"\nurl = "ftp://x"\n', "destination[1].url"),
        (DESTINATION + 'kind = "stow"\nurl = "https://u:p@x"\n', "without a password"),
        (DESTINATION + 'kind = "stow"\nurl = "https://x:port"\n', "destination[1].url"),
        (DESTINATION + 'kind = "stow"\nurl = "http://x"\ncredential = "f"\n', "all could read it"),
    ],
)
def test_a_destination_that_cannot_be_is_an_error_in_words(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "box.toml"
    file.write_text(text)
    with pytest.raises(SetupError) as caught:
        config.load(file)
    assert told in str(caught.value)
