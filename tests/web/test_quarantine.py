"""The page of what could not be read."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from sqlite_utils import Database

from edge.config import Settings
from edge.errors import UnreadableError
from edge.store import associations, instances
from edge.store.associations import Way
from edge.store.database import connect
from tests.support.studies import ATTRIBUTES, new_instance


def put_aside(settings: Settings) -> str:
    database: Database = connect(settings.database)
    receipt = instances.add_received(database, new_instance(size_bytes=2_500_000))
    instances.quarantine(database, receipt.instance_id, UnreadableError("header_too_large", limit=32).remark(), None)
    database.close()
    return receipt.study_key


def test_each_file_is_shown_with_its_reason_and_leads_to_its_study(client: FlaskClient, box: Settings) -> None:
    key = put_aside(box)
    page = client.get("/quarantine").text
    for words in ("larger than 32 MB", "MODALITY", "2.5 MB", f'href="/study/{key}"'):
        assert words in page
    assert "header_too_large" not in page
    assert 'href="/quarantine"' in client.get("/status").text


def test_it_speaks_french(client: FlaskClient, box: Settings) -> None:
    put_aside(box)
    page = client.get("/quarantine", headers={"Accept-Language": "fr"}).text
    assert "L’en-tête du fichier dépasse 32 Mo." in page


@pytest.mark.parametrize(
    ("way", "english", "french"),
    [
        (Way.NETWORK, "Sender unknown", "Expéditeur inconnu"),
        (Way.FOLDER, "From the folder", "Depuis le dossier"),
        (Way.STICK, "From a USB stick", "Depuis une clé USB"),
        (Way.PROGRAM, "From a program on this box", "Depuis un programme de ce boîtier"),
    ],
)
def test_a_file_without_a_sender_says_by_what_it_came_and_how_small_it_is(
    client: FlaskClient, box: Settings, way: Way, english: str, french: str
) -> None:
    database = connect(box.database)
    instance = new_instance(size_bytes=12_345, calling_ae_title="")
    receipt = instances.add_received(database, instance, associations.begin(database, "", way=way))
    instances.quarantine(database, receipt.instance_id, UnreadableError("empty_file").remark(), None)
    database.close()
    page = client.get("/quarantine").text
    assert english in page and "12.3 kB" in page
    page = client.get("/quarantine", headers={"Accept-Language": "fr"}).text
    assert french in page and "12,3 ko" in page


def test_it_says_so_where_there_is_nothing(client: FlaskClient) -> None:
    assert "Nothing was set aside." in client.get("/quarantine").text


def test_a_file_that_came_again_whole_says_so_and_leads_to_the_study(client: FlaskClient, box: Settings) -> None:
    database = connect(box.database)
    damaged, whole = [instances.add_received(database, new_instance(sop_instance_uid="1.2.3")) for _ in range(2)]
    instances.quarantine(database, damaged.instance_id, UnreadableError("truncated").remark(), None)
    assert "It came again whole." not in client.get("/quarantine").text
    key = instances.attach(database, whole.instance_id, ATTRIBUTES)
    database.close()
    page = client.get("/quarantine").text
    assert "It came again whole." in page and f'href="/study/{key}"' in page
