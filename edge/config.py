"""Settings: a TOML file into frozen dataclasses. An unknown key is an error.

The dataclasses below are the whole list of settings; the help of each one stands
beside its default, and the README's table is tested against them.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from edge.errors import SetupError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_T = TypeVar("_T")


LANGUAGES = ("en", "fr")
LOOPBACK = "127.0.0.1"
"""Where the page listens: there are no roles yet, so nobody but the box's own screen may reach it."""
_PORTS = range(65536)


def _setting(default: Any, help: str, allowed: range | tuple[str, ...] | None = None) -> Any:
    return field(default=default, metadata={"help": help, "allowed": allowed})


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomSettings:
    """The receiver of DICOM associations."""

    ae_title: str = _setting("CHESTEDGE", "AE title that the modality calls (1 to 16 characters)")
    host: str = _setting(LOOPBACK, "address to listen on; 0.0.0.0 for every network")
    port: int = _setting(11112, "TCP port of the receiver; 0 takes any free one", _PORTS)
    max_associations: int = _setting(
        16, "associations served at once; beyond them a sender is told to retry", range(1, 1001)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """The page."""

    port: int = _setting(8042, "TCP port of the page on the loopback address; 0 takes any free one", _PORTS)
    threads: int = _setting(16, "requests served at once; each open page holds one", range(8, 1001))
    language: str = _setting("en", "language where the browser asks for none that the box has", LANGUAGES)


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
    def run_dir(self) -> Path:
        """Sockets and locks of the running box."""
        return self.data_dir / "run"

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
    return _build(Settings, given, path, prefix="")


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
    return _build(Settings, json.loads(text), Path("settings.json"), prefix="")


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
    return _among(setting.metadata["allowed"], _typed(type(default), value, name), name)


def _typed(kind: type[_T], value: Any, name: str) -> _T:
    if type(value) is not kind:
        raise SetupError("bad_setting", name=name, expected=kind.__name__, value=value)
    return value


def _among(allowed: range | tuple[str, ...] | None, value: Any, name: str) -> Any:
    if allowed is not None and value not in allowed:
        listed = f"{allowed[0]} to {allowed[-1]}" if isinstance(allowed, range) else " or ".join(allowed)
        raise SetupError("bad_setting", name=name, expected=listed, value=value)
    return value
