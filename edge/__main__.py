"""Command line ``chest-edge``: the parser, and which function does each command.

A command is imported when it is run: where a library cannot be loaded, the others still work, the doctor
above all. Most are named by text, which a test holds against the functions.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import TypeAlias

from edge import __version__, config, log
from edge.errors import BackupError, EdgeError, ModelError, SetupError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 not done, 2 wrong usage or setup, 130 Ctrl-C."""
    given = _parser().parse_args(arguments)
    log.silence_libraries()
    try:
        return int(given.run(given, config.load(given.config)))
    except EdgeError as error:
        print(f"chest-edge: {error.text % error.values}", file=sys.stderr)
        return error.exit_status
    except MemoryError:
        print("chest-edge: There is not enough memory on this machine.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130  # as a shell tells of a command that Ctrl-C ended
    except BrokenPipeError:  # whoever read the output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chest-edge", description="Research use, not a medical device.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--config", type=Path, help="settings, a TOML file")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_analyze(commands)
    _add_pull(commands)
    _add_models(commands)
    _add_certificate(commands)
    _add_store(commands)
    _add_quarantine(commands)
    _add_outbox(commands)
    _add_doctor(commands)
    _add_audit(commands)
    _add_clock(commands)
    _add_backup(commands)
    _add_receipt(commands)
    _add_export(commands)
    return parser


_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _late(target: str, *names: str) -> partial[int]:
    """A function ``room.module:name`` that is given the settings and these arguments in turn."""
    return partial(_run, f"edge.{target}", names)


def _run(target: str, names: Sequence[str], given: argparse.Namespace, settings: config.Settings) -> int:
    return int(resolve_name(target)(settings, *(getattr(given, name) for name in names)))


def _add_serve(commands: _Commands) -> None:
    command = commands.add_parser("serve", help="receive studies and show the page until interrupted")
    command.add_argument("--demo", action="store_true", help="send two example studies to the box once it is ready")
    command.set_defaults(run=_serve)


def _add_analyze(commands: _Commands) -> None:
    command = commands.add_parser("analyze", help="read DICOM files, folders or pictures without any server")
    command.add_argument("paths", nargs="+", type=_path, metavar="FILE_OR_FOLDER")
    command.add_argument("--json", action="store_true", help="one line of JSON a study (chest-edge/result/1)")
    command.add_argument("--masks", type=Path, metavar="DIR", help="write label masks as PNG under the source's name")
    command.add_argument("--objects", type=Path, metavar="DIR", help="write the results as DICOM objects")
    command.set_defaults(run=_analyze)


def _add_pull(commands: _Commands) -> None:
    command = commands.add_parser("pull", help="fetch one study from the PACS")
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("--study", metavar="UID", default="", help="its Study Instance UID")
    which.add_argument("--accession", metavar="NUMBER", default="", help="its accession number")
    command.set_defaults(run=_pull)


def _path(text: str) -> Path:
    if not text:  # an empty variable of a script would otherwise mean the current directory
        raise argparse.ArgumentTypeError("expected a path, got an empty one")
    return Path(text)


def _add_models(commands: _Commands) -> None:
    command = commands.add_parser("models", help="the networks of the box")
    verbs = command.add_subparsers(required=True, metavar="VERB")
    verbs.add_parser("verify", help="check every model file against its registered hash").set_defaults(run=_verify)


def _add_certificate(commands: _Commands) -> None:
    command = commands.add_parser("certificate", help="who may speak TLS with the box")
    verbs = command.add_subparsers(required=True, metavar="VERB")
    issue = verbs.add_parser("issue", help="make a key and a certificate for an X-ray unit or a PACS")
    issue.add_argument("name", metavar="NAME", help="of the device: letters, digits, dot, dash and underscore")
    issue.add_argument("--out", type=_path, required=True, metavar="DIR", help="folder to write them to")
    issue.add_argument("--server", action="store_true", help="the device also accepts connections, as a PACS does")
    issue.set_defaults(run=_late("health.certificate_command:issue", "name", "out", "server"))
    every = verbs.add_parser("list", help="every certificate and when it ends")
    every.set_defaults(run=_late("health.certificate_command:print_all"))
    revoke = verbs.add_parser("revoke", help="refuse a certificate from now on")
    revoke.add_argument("name", metavar="NAME")
    revoke.set_defaults(run=_late("health.certificate_command:revoke", "name"))


def _add_store(commands: _Commands) -> None:
    command = commands.add_parser("store", help="what the box has stored")
    verbs = command.add_subparsers(required=True, metavar="VERB")
    check = verbs.add_parser("check", help="compare the database with the stored images")
    check.set_defaults(run=_late("health.store_command:print_difference"))
    rebuild = verbs.add_parser("rebuild", help="make the database anew from the stored images")
    rebuild.set_defaults(run=_rebuild_store)


def _add_quarantine(commands: _Commands) -> None:
    command = commands.add_parser("quarantine", help="files that were set aside because they could not be read")
    verbs = command.add_subparsers(required=True, metavar="VERB")
    every = verbs.add_parser("list", help="print each with its reason")
    every.set_defaults(run=_late("health.store_command:print_quarantine"))
    export = verbs.add_parser("export", help="copy the files, with a list of the reasons, into a folder")
    export.add_argument("folder", type=_path, metavar="DIR")
    export.set_defaults(run=_late("health.store_command:export_quarantine", "folder"))
    retry = verbs.add_parser("retry", help="have all of them read again")
    retry.set_defaults(run=_late("health.store_command:retry_quarantine"))


def _add_outbox(commands: _Commands) -> None:
    command = commands.add_parser("outbox", help="results on their way to the archives of the settings")
    verbs = command.add_subparsers(required=True, metavar="VERB")
    verbs.add_parser("list", help="print what waits and what could not be sent").set_defaults(run=_list_outbox)
    retry = verbs.add_parser("retry", help="have what could not be sent be sent again")
    retry.add_argument("number", type=int, nargs="?", metavar="NUMBER", help="of one object, as the list has it")
    retry.set_defaults(run=_retry_outbox)


def _add_doctor(commands: _Commands) -> None:
    command = commands.add_parser("doctor", help="say in plain words what is wrong with this machine")
    command.set_defaults(run=_doctor)


def _add_audit(commands: _Commands) -> None:
    command = commands.add_parser("audit", help="who saw and did what")
    verbs = command.add_subparsers(required=True, metavar="VERB")
    verify = verbs.add_parser("verify", help="check that no record was changed, removed, put in or cut off")
    verify.set_defaults(run=_late("audit.command:print_verified"))
    show = verbs.add_parser("show", help="print the newest records")
    show.add_argument("--last", type=int, default=20, metavar="N", help="how many")
    show.set_defaults(run=_late("audit.command:print_last", "last"))


def _add_clock(commands: _Commands) -> None:
    command = commands.add_parser("clock", help="whether the time can be right, and setting it")
    verbs = command.add_subparsers(required=True, metavar="VERB")
    status = verbs.add_parser("status", help="print the time and whether it can be right")
    status.set_defaults(run=_late("health.clock_command:print_status"))
    by_hand = verbs.add_parser("set", help="set or confirm the time of this machine; to set needs an administrator")
    by_hand.add_argument("time", metavar="TIME", help='local time, such as "2026-11-24 17:00"')
    by_hand.set_defaults(run=_late("health.clock_command:set_by_hand", "time"))
    modality = verbs.add_parser("from-modality", help="print the X-ray unit's time and how to take it over")
    modality.set_defaults(run=_late("health.clock_command:print_modality_time"))
    lan = verbs.add_parser("from-lan", help="print a time server's time and how to take it over")
    lan.add_argument("host", metavar="HOST", help="name or address of a time server (SNTP)")
    lan.set_defaults(run=_clock_from_lan)


def _add_backup(commands: _Commands) -> None:
    backup = commands.add_parser("backup", help="write all that the box holds to one encrypted file; it may run")
    backup.add_argument("target", type=_path, metavar="FILE_OR_FOLDER")
    backup.set_defaults(run=_late("health.backup_command:make", "config", "target", "passphrase_file"))
    restore = commands.add_parser("restore", help="put a backup back, on this box or another one")
    restore.add_argument("source", type=_path, metavar="FILE")
    restore.add_argument("--force", action="store_true", help="replace what the box holds")
    restore.set_defaults(run=_restore)
    for command in (backup, restore):
        command.add_argument(
            "--passphrase-file", type=_path, metavar="FILE", help="read the passphrase from a file instead of asking"
        )


def _add_receipt(commands: _Commands) -> None:
    command = commands.add_parser("receipt", help="the signed receipt on a printed report")
    verbs = command.add_subparsers(required=True, metavar="VERB")
    verify = verbs.add_parser("verify", help="say whether a receipt is genuine; needs no network and no box")
    source = verify.add_mutually_exclusive_group(required=True)
    source.add_argument("text", nargs="?", metavar="TEXT", help="what a scanner or a phone reads from the QR code")
    source.add_argument("--file", type=_path, metavar="FILE", help="a text file, or a picture of the QR code")
    verify.add_argument("--key", type=_path, metavar="FILE", help="public key of the box; without it that of this box")
    verify.add_argument("--result", type=_path, metavar="FILE", help="JSON of the result that it should belong to")
    verify.set_defaults(run=_verify_receipt)
    verbs.add_parser("key", help="print the public key of this box").set_defaults(run=_receipt_key)


def _add_export(commands: _Commands) -> None:
    command = commands.add_parser("export", help="write the images of one study to a folder, without their patient")
    command.add_argument("study_key", metavar="STUDY_KEY", help="32 letters and digits, the end of its page's address")
    command.add_argument("--anonymized", action="store_true", required=True, help="the only kind of export")
    command.add_argument("--out", type=_path, required=True, metavar="DIR", help="a new or empty folder")
    command.add_argument(
        "--burned-in-checked", action="store_true", help="you looked: no image shows a name, a number or a date"
    )
    names = ("study_key", "out", "burned_in_checked")
    command.set_defaults(run=_late("health.export_command:export_anonymized", *names))


def _serve(given: argparse.Namespace, settings: config.Settings) -> int:
    from edge.pipeline.supervisor import serve

    return serve(settings, demo=given.demo, ready=_announce)


def _announce(address: str) -> None:
    print(f"Chest Edge is ready: {address}", flush=True)


def _analyze(given: argparse.Namespace, settings: config.Settings) -> int:
    from edge.pipeline.analyze import analyze

    return analyze(given.paths, settings, as_json=given.json, masks=given.masks, objects=given.objects)


def _pull(given: argparse.Namespace, settings: config.Settings) -> int:
    from edge.pipeline.fetch import pull_by_hand

    count = pull_by_hand(settings, study_uid=given.study, accession_number=given.accession)
    if count:
        print(f"Images that came: {count}. The box shows them on its page.")
    else:
        print("The PACS has the study and sent no image of it. Try again, or look there.")
    return int(not count)


def _verify(given: argparse.Namespace, settings: config.Settings) -> int:
    faults = _check_models()
    for name, fault in faults.items():
        print(f"{name}: {'ok' if fault is None else fault.text % fault.values}")
    return int(any(faults.values()))


def _rebuild_store(given: argparse.Namespace, settings: config.Settings) -> int:
    from edge.health.store_command import make_anew
    from edge.pipeline.supervisor import locked

    with locked(settings):
        return make_anew(settings)


def _list_outbox(given: argparse.Namespace, settings: config.Settings) -> int:
    from edge.store import sent

    for line in sent.lines(sent.listed(settings.database, -1)):
        print(line)
    return 0


def _retry_outbox(given: argparse.Namespace, settings: config.Settings) -> int:
    from edge.store import database, outbox

    with database.opened(settings.database) as opened:
        count = outbox.retry(opened, given.number)
    print(f"{count} objects are sent again")
    return int(given.number is not None and not count)


def _doctor(given: argparse.Namespace, settings: config.Settings) -> int:
    from edge.health.doctor import doctor

    return doctor(settings, _check_models)


def _clock_from_lan(given: argparse.Namespace, settings: config.Settings) -> int:
    from edge.health.clock_command import print_lan_time

    return print_lan_time(given.host)


def _restore(given: argparse.Namespace, settings: config.Settings) -> int:
    from edge.health.backup_command import put_back
    from edge.pipeline.supervisor import locked

    is_new = not settings.data_dir.exists()
    with locked(settings):
        try:
            return put_back(settings, given.source, given.passphrase_file, force=given.force)
        except (BackupError, SetupError):  # nothing was changed, so that the folders of the lock are all there is
            if is_new:
                shutil.rmtree(settings.data_dir)
            raise


def _verify_receipt(given: argparse.Namespace, settings: config.Settings) -> int:
    from edge.pipeline import receipts

    text = receipts.text_of(given.file) if given.file else given.text
    return receipts.verify(settings, text, given.key, given.result)


def _receipt_key(given: argparse.Namespace, settings: config.Settings) -> int:
    from edge.pipeline.receipts import print_key

    return print_key(settings)


def _check_models() -> Mapping[str, ModelError | None]:
    # Inside a function: where the runtime cannot be loaded, the rest of the doctor still works.
    from edge.engines.registry import check
    from edge.pipeline.runner import RADIOGRAPH_STAGES, models_of

    return check(models_of(RADIOGRAPH_STAGES))


if __name__ == "__main__":
    sys.exit(main())
