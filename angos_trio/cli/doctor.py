"""`angos-trio doctor`: a host, before and after an installation, and what to do about it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import angos_trio
from angos_trio.app.certificates import files_of
from angos_trio.app.plan import make_plan
from angos_trio.appliance import (
    doctor_certificates,
    doctor_clock,
    doctor_disk,
    doctor_instance,
    doctor_names,
    doctor_permissions,
    doctor_ports,
    doctor_program,
    doctor_units,
)
from angos_trio.appliance.doctor import Finding, Look, bad, examine, note, ok
from angos_trio.appliance.doctor_handed import Handed, is_there
from angos_trio.cli.asking import plain
from angos_trio.cli.codes import FOUND
from angos_trio.config.model import Config
from angos_trio.config.overrides import load_with_overrides
from angos_trio.config.values import is_loopback, parse_size
from angos_trio.errors import OperatorError
from angos_trio.limits.appliance import CHECK_SECS_MAX
from angos_trio.pki.server import CERTIFICATE_KEY, TlsFiles
from angos_trio.pki.summary import first_summary
from angos_trio.records import Frozen
from angos_trio.storage.directory import DataDirectory, owner_of

INSTALLED_CONFIG: Final = "/etc/angos-trio/config.toml"
INSTALLED_DATA: Final = "/var/lib/angos-trio"
_HANDED: Final = Handed()
_VARIABLE: Final = "CREDENTIALS_DIRECTORY"
_SERVICE_USER: Final = "angos-trio"
_LABEL_CHARACTERS: Final = 13
_NOT_KNOWN: Final = note("not known: the configuration could not be read")
_MAKE: Final = (
    "angos-trio self install --systemd --hostname NAME makes it, or angos-trio init DIR "
    "--hostname NAME"
)


class Subject(Frozen):
    """What is examined: a configuration, or what an installation would begin with."""

    config: Config
    files: tuple[str, ...]
    findings: tuple[Finding, ...]
    """About the configuration itself."""
    is_before: bool = False
    """Nothing was named and nothing is installed: there are no names and certificates yet."""
    is_known: bool = True
    """The configuration could be read; else `config` is a guess, of which nothing is claimed."""

    @property
    def data(self) -> Path:
        """The data directory."""
        return Path(self.config.blob_store.fs.root_dir).absolute()

    @property
    def is_installed(self) -> bool:
        """Whether it is the one that systemd starts."""
        return INSTALLED_CONFIG in self.files

    @property
    def tls(self) -> TlsFiles | None:
        """What `[server.tls]` names."""
        return files_of(self.config.server.tls)

    @property
    def names(self) -> list[str]:
        """Those by which clients call."""
        url = self.config.server.external_url
        host = None if url is None else urlsplit(url).hostname
        return [] if host is None else [host]


def doctor(files: Sequence[str], data_dir: str | None, *, as_json: bool) -> int:
    """Look at everything, a line for each finding; 3 when something is bad."""
    # Read by the first check that asks: all that could hang is within the deadline of a check.
    subject = cache(partial(_subject, files, data_dir))
    is_bad = False
    for name, finding in examine(_checks(subject), CHECK_SECS_MAX):
        is_bad = is_bad or finding.is_bad
        for line in _as_json(name, finding) if as_json else _as_text(name, finding):
            print(line, flush=True)
    return FOUND if is_bad else 0


def _as_text(name: str, finding: Finding) -> Iterator[str]:
    yield f"{finding.level:<5} {name:<{_LABEL_CHARACTERS}} {plain(finding.saw)}"
    if finding.cure is not None:
        yield f"{'':<{_LABEL_CHARACTERS + 6}} → {plain(finding.cure)}"


def _as_json(name: str, finding: Finding) -> Iterator[str]:
    document = {"check": name, "level": finding.level, "saw": finding.saw, "do": finding.cure}
    yield json.dumps(document)


def _checks(subject: Callable[[], Subject]) -> Mapping[str, Look]:
    """All of them, in the order in which they are told."""
    interpreter = doctor_program.this_interpreter()
    program = Path(angos_trio.__file__).resolve().parent
    return {
        "python": partial(doctor_program.judge_python, interpreter),
        "machine": partial(doctor_program.judge_machine, interpreter),
        "kernel": doctor_program.look_at_kernel,
        "limits": doctor_program.look_at_limits,
        "clock": lambda: doctor_clock.judge_clock(doctor_clock.this_clock(subject().data)),
        "configuration": lambda: subject().findings,
        "program": partial(doctor_disk.look_at_program, program),
        "disk": lambda: _disk(subject()),
        "permissions": lambda: _permissions(subject(), program),
        "names": lambda: _names(subject()),
        "certificates": lambda: _certificates(subject()),
        "ports": lambda: _ports(subject()),
        "units": doctor_units.look_at_units,
        "registry": lambda: doctor_instance.look_at_instance(subject().data),
    }


def _subject(files: Sequence[str], data_dir: str | None) -> Subject:
    """The configuration that is named, or installed; without one what an installation would have:
    port 443, and its data directory."""
    named = tuple(files) or ((INSTALLED_CONFIG,) if is_there(INSTALLED_CONFIG) else ())
    place = data_dir or (None if named else INSTALLED_DATA)
    read = partial(load_with_overrides, named, None, place, _environment())
    findings: list[Finding] = []
    is_known = True
    try:
        parsed = read()
        make_plan(parsed.config, is_configured=bool(named))
    except OperatorError as error:
        findings.append(refused(error, is_running=is_there(_HANDED.place)))
        try:  # what can be read counts, though it is refused as a whole
            config = read(reads_files=False).config
        except OperatorError:
            config = load_with_overrides((), None, data_dir or INSTALLED_DATA, {}).config
            is_known = False
    else:
        config = parsed.config
        findings += _described(named, parsed.remarks)
    is_before = not named and data_dir is None
    return Subject(config, named, tuple(findings), is_before, is_known)


def refused(error: OperatorError, *, is_running: bool) -> Finding:
    """What a refusal means for this user; `is_running`: what systemd hands over is there."""
    reason, cause = str(error), _cause_of(error)
    is_of_systemd = _VARIABLE in reason or str(_HANDED.place) in reason
    if is_of_systemd and (isinstance(cause, PermissionError) or not is_running):
        return note(
            f"{reason}: systemd hands this over, and only while the service runs",
            "ask again as root, while it runs",
        )
    if isinstance(cause, PermissionError):
        return note(reason, "ask again as root")
    return bad(reason, "correct it: angos-trio check -c FILE says the same")


def _cause_of(error: BaseException) -> BaseException:
    """The first error, of which the others came."""
    while error.__context__ is not None:
        error = error.__context__
    return error


def _described(named: Sequence[str], remarks: Sequence[str]) -> Iterator[Finding]:
    if named:
        yield ok(f"read from {', '.join(named)}")
    else:
        yield note(
            f"no {INSTALLED_CONFIG}, and none was named: looked at as for an installation on 443",
            "angos-trio doctor -c FILE",
        )
    yield from (note(remark) for remark in remarks)


def _environment() -> Mapping[str, str]:
    """With the place where systemd would put what it hands over."""
    return {_VARIABLE: str(_HANDED.place), **os.environ}


def _user(subject: Subject) -> doctor_permissions.Owner | None:
    """Who serves: the user of the installed service, else whose the data directory is, else the
    user of the units, else who asks, if not root."""
    if subject.is_installed and (name := doctor_units.user_of_service()) is not None:
        return doctor_permissions.user_named(name)
    try:
        return doctor_permissions.user_numbered(owner_of(DataDirectory(subject.data)))
    except OperatorError:
        pass
    of_service = doctor_permissions.user_named(_SERVICE_USER)
    if of_service is not None or os.geteuid() == 0:
        return of_service
    return doctor_permissions.user_numbered(os.geteuid())


def _disk(subject: Subject) -> Iterable[Finding]:
    config = subject.config
    reserve = parse_size(config.global_.min_free_space, "global.min_free_space")
    ballast = parse_size(config.blob_store.fs.ballast, "blob_store.fs.ballast")
    return doctor_disk.look_at_disk(subject.data, reserve, ballast)


def _permissions(subject: Subject, program: Path) -> Iterable[Finding]:
    tls = subject.tls
    files = [*subject.files, *([] if tls is None else _HANDED.read_by_service(tls))]
    return doctor_permissions.look_at_permissions(subject.data, program, files, _user(subject))


def _names(subject: Subject) -> Iterable[Finding]:
    if subject.is_before:
        return [note("there is no configuration yet, and so no name by which clients call", _MAKE)]
    if not subject.is_known:
        return [_NOT_KNOWN]
    names = subject.names or _shown_names(subject.tls)
    return doctor_names.look_at_names(names)


def _certificates(subject: Subject) -> Iterable[Finding]:
    if subject.is_before:
        return [note("there are none yet", _MAKE)]
    if not subject.is_known:
        return [_NOT_KNOWN]
    tls = subject.tls
    is_here = is_local(subject, _places(subject))
    wanted = subject.names or ([] if is_here else [doctor_names.own_name()])
    files, keys = (None, []) if tls is None else (_HANDED.seen(tls), _HANDED.kept_keys(tls))
    return doctor_certificates.look_at_certificates(files, keys, wanted, is_local=is_here)


def _ports(subject: Subject) -> Iterable[Finding]:
    places, health = _places(subject), subject.config.server.health
    if health is not None:
        places.append((health.bind_address, health.port))
    if not places:
        return [_NOT_KNOWN]
    user = _user(subject)
    return doctor_ports.look_at_ports(
        places,
        may_bind=not subject.files or (user is not None and user.uid == 0),
        systemd_listens=doctor_units.listens_for_us,
    )


def _places(subject: Subject) -> list[tuple[str, int]]:
    of_systemd = doctor_units.places_of_socket() if subject.is_installed else []
    return places_of(subject, of_systemd)


def places_of(subject: Subject, of_systemd: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Where clients are to come: for the installed one wherever systemd listens. None where nobody
    knows. Pure."""
    server = subject.config.server
    if of_systemd:
        return of_systemd
    if not subject.files:
        return [("0.0.0.0", 443)]
    return [(server.bind_address, server.port)] if subject.is_known else []


def is_local(subject: Subject, places: Sequence[tuple[str, int]]) -> bool:
    """Whether only this host can connect. Pure."""
    hosts = [host for host, _ in places] if subject.files else [subject.config.server.bind_address]
    return all(map(is_loopback, hosts))


def _shown_names(tls: TlsFiles | None) -> list[str]:
    """The names that the certificate stands for, without those with a star."""
    if tls is None:
        return []
    try:
        found = first_summary(CERTIFICATE_KEY, _HANDED.seen(tls).certificate)
    except OperatorError:
        return []  # which the check of certificates tells
    return [name for name in found.dns_names if not name.startswith("*.")]
