"""Settings: a TOML file into frozen dataclasses. An unknown key is an error.

The dataclasses below are the whole list of settings; the help of each one stands
beside its default, and the README's table is tested against them.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from edge.errors import SetupError
from edge.types import Kind

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_T = TypeVar("_T")


LANGUAGES = ("en", "fr")
PAPERS = ("a4", "letter")
LOOPBACK = "127.0.0.1"
"""Where the page listens: there are no roles yet, so nobody but the box's own screen may reach it."""
_PORTS = range(65536)
_KINDS = tuple(kind.value for kind in Kind)
_NAME = re.compile("[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,30}[A-Za-z0-9])?")


def _setting(
    default: Any, help: str, allowed: range | tuple[str, ...] | None = None, *, tables: type | None = None
) -> Any:
    return field(default=default, metadata={"help": help, "allowed": allowed, "tables": tables})


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomSettings:
    """The receiver of DICOM associations."""

    ae_title: str = _setting("CHESTEDGE", "AE title that the modality calls (1 to 16 characters)")
    host: str = _setting(LOOPBACK, "address to listen on; 0.0.0.0 for every network")
    port: int = _setting(11112, "TCP port of the receiver; 0 takes any free one", _PORTS)
    max_associations: int = _setting(
        16, "associations served at once; beyond them a sender is told to retry", range(1, 1001)
    )
    max_per_address: int = _setting(8, "connections that one address may hold open at once", range(1, 1001))
    addresses: tuple[str, ...] = _setting((), "addresses or networks (CIDR) that may connect; empty for any")
    calling_ae_titles: tuple[str, ...] = _setting((), "AE titles that may call; empty for any")
    called_ae_titles: tuple[str, ...] = _setting((), "further AE titles that the box answers to; `*` for any")
    tls: bool = _setting(False, "accept only TLS 1.2 or newer from modalities with a certificate of this box")


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """How much is kept, and for how long."""

    budget_mb: int = _setting(0, "megabytes that the box may fill; 0 for the whole disk", range(1 << 31))
    keep_days: int = _setting(
        30, "days of running after which a viewed study may go if room is needed and no PACS has it", range(1, 36501)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySettings:
    """When a study is whole, and how long its reading may take."""

    quiet_radiograph_s: int = _setting(0, "seconds without a new image after which a radiograph is final", range(3601))
    quiet_ct_s: int = _setting(10, "seconds without a new slice after which a CT study is final", range(3601))
    stage_s: int = _setting(60, "seconds that one step of a reading may take", range(1, 3601))


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeSettings:
    """Other ways into the box."""

    folder: str = _setting("", "folder whose files are taken in; empty for none")
    usb: str = _setting("", "folder below which USB sticks are mounted, such as `/media`; empty for none")


@dataclass(frozen=True, slots=True, kw_only=True)
class PacsSettings:
    """The archive that studies and priors are fetched from."""

    host: str = _setting("", "host of the PACS; empty for none")
    port: int = _setting(104, "DICOM port of the PACS", range(1, 65536))
    ae_title: str = _setting("PACS", "AE title of the PACS")
    tls: bool = _setting(False, "speak TLS with the PACS")
    priors: bool = _setting(True, "fetch the earlier chest radiographs of each patient")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorklistSettings:
    """The modality worklist that accession numbers are matched with."""

    host: str = _setting("", "host of the modality worklist; empty for none")
    port: int = _setting(104, "DICOM port of the modality worklist", range(1, 65536))
    ae_title: str = _setting("WORKLIST", "AE title of the modality worklist")
    tls: bool = _setting(False, "speak TLS with the modality worklist")


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationSettings:
    """One archive that results are sent to."""

    name: str = _setting("", "what the page calls it: 1 to 32 letters, digits, spaces, dots and dashes; must be given")
    kind: str = _setting("dicom", "`dicom` for C-STORE, `stow` for DICOMweb", ("dicom", "stow"))
    ae_title: str = _setting("PACS", "its AE title (`dicom`)")
    host: str = _setting("", "its host (`dicom`)")
    port: int = _setting(104, "its DICOM port (`dicom`)", range(1, 65536))
    tls: bool = _setting(False, "speak TLS with it (`dicom`)")
    url: str = _setting("", "address of its DICOMweb services, such as `https://pacs.clinic/dicom-web` (`stow`)")
    ca: str = _setting(
        "", "file (PEM) of the authority that signed its certificate; empty for those of the box (`stow`)"
    )
    credential: str = _setting(
        "", "file whose first line is `user:password` or `Bearer` and a token; empty for none (`stow`)"
    )
    objects: tuple[str, ...] = _setting(_KINDS, "which objects it gets", _KINDS)
    commitment: bool = _setting(True, "ask it to confirm that it keeps them (storage commitment, `dicom`)")

    @property
    def asks_commitment(self) -> bool:
        """Whether an object that it stored is to be confirmed: STOW-RS knows no such thing."""
        return self.commitment and self.kind == "dicom"

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return self.url if self.kind == "stow" else f"{self.ae_title} ({self.host}:{self.port})"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSettings:
    """Where audit messages go besides the box itself."""

    syslog_host: str = _setting("", "host that takes audit messages by syslog over TLS; empty for none")
    syslog_port: int = _setting(6514, "its port", range(1, 65536))


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """The page."""

    port: int = _setting(8042, "TCP port of the page on the loopback address; 0 takes any free one", _PORTS)
    threads: int = _setting(16, "requests served at once; each open page holds one", range(8, 1001))
    language: str = _setting("en", "language where the browser asks for none that the box has", LANGUAGES)
    paper: str = _setting("a4", "paper of the printed report", PAPERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How the networks are run."""

    threads: int = _setting(2, "processor threads for a network; 0 lets the runtime choose", range(1025))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of the box."""

    data_dir: Path = _setting(
        Path("var"), "directory of all that the box stores; a relative one is below the current directory"
    )
    dicom: DicomSettings = DicomSettings()
    storage: StorageSettings = StorageSettings()
    study: StudySettings = StudySettings()
    intake: IntakeSettings = IntakeSettings()
    pacs: PacsSettings = PacsSettings()
    worklist: WorklistSettings = WorklistSettings()
    destination: tuple[DestinationSettings, ...] = _setting(
        (), "where results are sent: a table `[[destination]]` for each", tables=DestinationSettings
    )
    audit: AuditSettings = AuditSettings()
    web: WebSettings = WebSettings()
    engine: EngineSettings = EngineSettings()

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.data_dir / "chest-edge.sqlite"

    @property
    def incoming(self) -> Path:
        """Where received objects are stored."""
        return self.data_dir / "incoming"

    @property
    def results(self) -> Path:
        """Where pictures and masks of results are stored."""
        return self.data_dir / "results"

    @property
    def audit_dir(self) -> Path:
        """Where audit records are stored."""
        return self.data_dir / "audit"

    @property
    def run_dir(self) -> Path:
        """Sockets and locks of the running box."""
        return self.data_dir / "run"

    @property
    def folders(self) -> tuple[Path, ...]:
        """What the box cannot work without writing to; the first holds the others."""
        return (self.data_dir, self.incoming, self.results, self.run_dir)

    @property
    def restoring(self) -> Path:
        """What a backup holds, while it is put back."""
        return self.data_dir / "restoring"

    @property
    def reserve(self) -> Path:
        """Room that is given up where the disk is full."""
        return self.data_dir / "reserve"

    @property
    def lock(self) -> Path:
        """Locked (``flock``) by the supervisor for as long as the box runs."""
        return self.run_dir / "box.lock"


def load(path: Path | None) -> Settings:
    """Read settings from a TOML file, or the defaults where none is given.

    Raises
    ------
    SetupError
        For a file that cannot be read, wrong syntax, an unknown key, or a value that cannot be.
    """
    if path is None:
        return Settings()
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SetupError("file_not_found", path=path) from error
    except OSError as error:
        raise SetupError("unreadable_config", path=path) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SetupError("config_syntax", path=path, problem=error) from error
    return _checked(_build(Settings, given, path, prefix=""))


def to_json(settings: Settings) -> str:
    """Settings as JSON, for a process that is started with exactly these."""
    return json.dumps(dataclasses.asdict(settings), default=str)


def from_json(text: str) -> Settings:
    """The inverse of ``to_json``.

    Raises
    ------
    SetupError
        For an unknown key or a value that cannot be.
    """
    return _checked(_build(Settings, json.loads(text), Path("settings.json"), prefix=""))


def _checked(settings: Settings) -> Settings:
    _apart(settings)
    names = [destination.name for destination in settings.destination]
    for number, destination in enumerate(settings.destination):
        _check_destination(destination, f"destination[{number + 1}]")
        if destination.name in names[:number]:
            raise SetupError(
                "bad_setting",
                name=f"destination[{number + 1}].name",
                expected="another one than that of the others",
                value=_toml(destination.name),
            )
    return settings


def _check_destination(given: DestinationSettings, where: str) -> None:
    def check(is_right: bool, key: str, expected: str) -> None:
        if not is_right:
            value = _toml(getattr(given, key))
            raise SetupError("bad_setting", name=f"{where}.{key}", expected=expected, value=value)

    check(bool(_NAME.fullmatch(given.name)), "name", "1 to 32 letters, digits, spaces, dots and dashes")
    if given.kind == "dicom":
        check(bool(given.host), "host", "the host of the archive")
        title = given.ae_title.strip()
        is_title = 1 <= len(title) <= 16 and title.isascii() and title.isprintable() and "\\" not in title
        check(is_title, "ae_title", "an AE title of 1 to 16 characters")
        return
    check(_is_address(given.url), "url", "an address such as https://pacs.clinic/dicom-web, without a password in it")
    is_safe = given.url.startswith("https://") or urlsplit(given.url).hostname in ("localhost", LOOPBACK)
    check(is_safe or not given.credential, "credential", "empty where the url is not https: all could read it")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    is_plain = not (parts.query or parts.fragment or parts.username or parts.password) and url.isascii()
    return parts.scheme in ("http", "https") and bool(parts.hostname) and has_port and is_plain and " " not in url


def _apart(settings: Settings) -> None:
    # What is taken in from a folder is removed there: the box would take its own images, and lose them.
    own = settings.data_dir.resolve()
    for name in ("folder", "usb"):
        given = getattr(settings.intake, name)
        place = Path(given).resolve()
        if given and (own == place or own in place.parents or place in own.parents):
            raise SetupError("folders_overlap", name=f"intake.{name}", path=given, data_dir=settings.data_dir)


def _build(kind: type[_T], given: dict[str, Any], path: Path, prefix: str) -> _T:
    known = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in given:
        if name not in known:
            raise SetupError("unknown_setting", name=prefix + name, path=path)
    values = {name: _value(known[name], value, path, prefix + name) for name, value in given.items()}
    return kind(**values)


def _value(setting: dataclasses.Field[Any], value: Any, path: Path, name: str) -> Any:
    default = setting.default
    if dataclasses.is_dataclass(default):
        if not isinstance(value, dict):
            raise SetupError("bad_setting", name=name, expected="a table", value=value)
        return _build(type(default), value, path, prefix=f"{name}.")
    if isinstance(default, Path):
        return Path(_typed(str, value, name))
    if setting.metadata["tables"] is not None:
        return _tables(setting.metadata["tables"], value, path, name)
    if isinstance(default, tuple):
        if type(value) is str:  # what is most often meant
            raise _misspelt(name, f"a list, such as {_toml([value])}", value)
        allowed = setting.metadata["allowed"]
        return tuple(_among(allowed, _typed(str, item, name), name) for item in _typed(list, value, name))
    return _among(setting.metadata["allowed"], _typed(type(default), value, name), name)


def _tables(kind: type[_T], value: Any, path: Path, name: str) -> tuple[_T, ...]:
    if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
        raise SetupError("bad_setting", name=name, expected=f"one or more tables, as in [[{name}]]", value=_toml(value))
    return tuple(_build(kind, table, path, f"{name}[{number}].") for number, table in enumerate(value, start=1))


_SPELT: dict[type, str] = {
    int: "a whole number without quotes, such as 42",
    bool: "true or false, without quotes",
    str: 'text in quotes, such as "text"',
    list: 'a list of texts in brackets, such as ["text"]',
}


def _typed(kind: type[_T], value: Any, name: str) -> _T:
    if type(value) is kind:
        return value
    meant = str(value).strip() if type(value) is str or kind is str else ""
    if kind is int and meant.isascii() and meant.isdigit():
        raise _misspelt(name, f"written as {int(meant)}, without quotes", value)
    if kind is bool and meant.lower() in ("true", "false"):
        raise _misspelt(name, f"written as {meant.lower()}, without quotes", value)
    if kind is str and type(value) in (int, float):
        raise _misspelt(name, f"written in quotes, as {_toml(meant)}", value)
    raise _misspelt(name, _SPELT[kind], value)


def _misspelt(name: str, expected: str, value: Any) -> SetupError:
    return SetupError("bad_setting", name=name, expected=expected, value=_toml(value))


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)  # JSON spells what can be here as TOML does


def _among(allowed: range | tuple[str, ...] | None, value: Any, name: str) -> Any:
    if allowed is not None and value not in allowed:
        listed = f"{allowed[0]} to {allowed[-1]}" if isinstance(allowed, range) else " or ".join(allowed)
        raise SetupError("bad_setting", name=name, expected=listed, value=value)
    return value
