"""The page of what could not be read."""

from __future__ import annotations

from flask.testing import FlaskClient
from sqlite_utils import Database

from edge.config import Settings
from edge.errors import UnreadableError
from edge.store import instances
from edge.store.database import connect
from tests.support.studies import new_instance


def put_aside(settings: Settings) -> str:
    database: Database = connect(settings.database)
    receipt = instances.add_received(database, new_instance(size_bytes=2_500_000))
    instances.quarantine(database, receipt.instance_id, UnreadableError("header_too_large", limit=32).remark(), None)
    database.close()
    return receipt.study_key


def test_each_file_is_shown_with_its_reason_and_leads_to_its_study(client: FlaskClient, box: Settings) -> None:
    key = put_aside(box)
    page = client.get("/quarantine").text
    for words in ("larger than 32 MB", "header_too_large", "MODALITY", "2.5 MB", f'href="/study/{key}"'):
        assert words in page
    assert 'href="/quarantine"' in client.get("/status").text


def test_it_speaks_french(client: FlaskClient, box: Settings) -> None:
    put_aside(box)
    page = client.get("/quarantine", headers={"Accept-Language": "fr"}).text
    assert "L’en-tête du fichier dépasse 32 Mo." in page


def test_it_says_so_where_there_is_nothing(client: FlaskClient) -> None:
    assert "Nothing was set aside." in client.get("/quarantine").text
