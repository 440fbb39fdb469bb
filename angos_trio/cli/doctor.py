"""`angos-trio doctor`: a host, before and after an installation, and what to do about it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
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
from angos_trio.cli.asking import plain
from angos_trio.config.model import Config
from angos_trio.config.overrides import load_with_overrides
from angos_trio.config.values import is_loopback, parse_size
from angos_trio.errors import OperatorError
from angos_trio.limits.appliance import CHECK_SECS_MAX
from angos_trio.pki.server import CERTIFICATE_KEY, TlsFiles
from angos_trio.pki.summary import first_summary
from angos_trio.records import Frozen, replace

FOUND: Final = 3
"""The exit code when something is bad."""
INSTALLED_CONFIG: Final = "/etc/angos-trio/config.toml"
INSTALLED_DATA: Final = "/var/lib/angos-trio"
INSTALLED_PKI: Final = Path("/etc/angos-trio/pki")
_HANDED: Final = Path("/run/credentials/angos-trio.service")
_VARIABLE: Final = "CREDENTIALS_DIRECTORY"
_SERVICE_USER: Final = "angos-trio"
_LABEL_CHARACTERS: Final = 13
_MAKE: Final = (
    "angos-trio self install --systemd --hostname NAME makes it, or angos-trio init DIR "
    "--hostname NAME"
)


class Subject(Frozen):
    """What is examined: a configuration, or what an installation would begin with."""

    config: Config
    files: tuple[str, ...]
    data: Path
    ports: tuple[tuple[str, int], ...]
    findings: tuple[Finding, ...]
    """About the configuration itself."""
    is_before: bool = False
    """Nothing was named and nothing is installed: there are no names and certificates yet."""

    @property
    def names(self) -> list[str]:
        """Those by which clients call."""
        url = self.config.server.external_url
        host = None if url is None else urlsplit(url).hostname
        return [] if host is None else [host]

    @property
    def is_local(self) -> bool:
        """Whether only this host can connect."""
        return is_loopback(self.config.server.bind_address)


def doctor(files: Sequence[str], data_dir: str | None, *, as_json: bool) -> int:
    """Look at everything, a line for each finding; 3 when something is bad."""
    subject = _subject(files, data_dir)
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


def _checks(subject: Subject) -> Mapping[str, Look]:
    """All of them, in the order in which they are told."""
    config, interpreter = subject.config, doctor_program.this_interpreter()
    program = Path(angos_trio.__file__).resolve().parent
    tls, user = _handed_over(files_of(config.server.tls)), _user(subject.data)
    reserve = parse_size(config.global_.min_free_space, "global.min_free_space")
    ballast = parse_size(config.blob_store.fs.ballast, "blob_store.fs.ballast")
    return {
        "python": partial(doctor_program.judge_python, interpreter),
        "machine": partial(doctor_program.judge_machine, interpreter),
        "kernel": doctor_program.look_at_kernel,
        "limits": doctor_program.look_at_limits,
        "clock": lambda: doctor_clock.judge_clock(doctor_clock.this_clock(subject.data)),
        "configuration": lambda: subject.findings,
        "program": partial(doctor_disk.look_at_program, program),
        "disk": partial(doctor_disk.look_at_disk, subject.data, reserve, ballast),
        "permissions": partial(
            doctor_permissions.look_at_permissions,
            subject.data,
            program,
            [*subject.files, *_public_files(tls)],
            user,
        ),
        "names": lambda: _names(subject, tls),
        "certificates": lambda: _certificates(subject, tls),
        "ports": partial(
            doctor_ports.look_at_ports,
            list(subject.ports),
            may_bind=not subject.files or (user is not None and user.uid == 0),
            systemd_listens=doctor_units.listens_for_us,
        ),
        "units": doctor_units.look_at_units,
        "registry": partial(doctor_instance.look_at_instance, subject.data),
    }


def _subject(files: Sequence[str], data_dir: str | None) -> Subject:
    """The configuration that is named, or installed; without one what an installation would have:
    port 443, and its data directory."""
    named = tuple(files) or ((INSTALLED_CONFIG,) if _is_there(INSTALLED_CONFIG) else ())
    read = partial(load_with_overrides, listen=None, environ=_environment())
    findings: list[Finding] = []
    try:
        parsed = read(named, data_dir=data_dir or (None if named else INSTALLED_DATA))
        make_plan(parsed.config, is_configured=bool(named))
    except OperatorError as error:
        findings.append(_refused(str(error)))
        try:  # what can be read counts, though it is refused as a whole
            config = read(named, data_dir=data_dir).config
        except OperatorError:
            config = load_with_overrides((), None, data_dir or INSTALLED_DATA, {}).config
    else:
        config = parsed.config
        findings += _described(named, parsed.remarks)
    ports = _ports(named, config)
    data = Path(config.blob_store.fs.root_dir).absolute()
    is_before = not named and data_dir is None
    return Subject(config, named, data, ports, tuple(findings), is_before)


def _ports(named: Sequence[str], config: Config) -> tuple[tuple[str, int], ...]:
    """Where the registry is to listen; for the installed one systemd does it, wherever its socket
    says."""
    server = config.server
    ports = [(server.bind_address, server.port)] if named else [("0.0.0.0", 443)]
    if INSTALLED_CONFIG in named:
        ports = doctor_units.places_of_socket() or ports
    if server.health is not None:
        ports.append((server.health.bind_address, server.health.port))
    return tuple(ports)


def _refused(reason: str) -> Finding:
    if _VARIABLE in reason or str(_HANDED) in reason:
        return note(
            f"{reason}: systemd hands this over, and only while the service runs",
            "ask again as root, while it runs",
        )
    return bad(reason, "correct it: angos-trio check -c FILE says the same")


def _described(named: Sequence[str], remarks: Sequence[str]) -> Iterator[Finding]:
    if named:
        yield ok(f"read from {', '.join(named)}")
    else:
        yield note(
            f"no {INSTALLED_CONFIG}, and none was named: looked at as for an installation on 443",
            "angos-trio doctor -c FILE",
        )
    yield from (note(remark) for remark in remarks)


def _is_there(path: str) -> bool:
    try:
        return Path(path).exists()
    except PermissionError:  # what it is in is closed to this user: so it is installed
        return True


def _environment() -> Mapping[str, str]:
    """With the place where systemd would put what it hands over."""
    return {_VARIABLE: str(_HANDED), **os.environ}


def _handed_over(tls: TlsFiles | None) -> TlsFiles | None:
    """The same with what systemd takes its copies from, where these are not there."""
    if tls is None:
        return None
    return replace(tls, certificate=_origin(tls.certificate), private_key=_origin(tls.private_key))


def _origin(path: str) -> str:
    handed = Path(path)
    if handed.parent != _HANDED or handed.exists():
        return path
    places: list[Callable[[str], Path]] = [
        INSTALLED_PKI.joinpath,
        (INSTALLED_PKI / "private").joinpath,
    ]
    for place in places:
        if _is_there(str(place(handed.name))):
            return str(place(handed.name))
    return path


def _public_files(tls: TlsFiles | None) -> list[str]:
    """Those of certificates that the service itself reads, not systemd for it."""
    if tls is None:
        return []
    ca = [] if tls.client_ca is None else [tls.client_ca]
    return [*ca, *tls.client_crls]


def _user(data: Path) -> doctor_permissions.Owner | None:
    """Who serves: whose the data directory is, else the user of the units, else who asks, if not
    root."""
    try:
        return doctor_permissions.user_numbered((data / "format.json").stat().st_uid)
    except OSError:
        pass
    of_service = doctor_permissions.user_named(_SERVICE_USER)
    if of_service is not None or os.geteuid() == 0:
        return of_service
    return doctor_permissions.user_numbered(os.geteuid())


def _names(subject: Subject, tls: TlsFiles | None) -> Iterable[Finding]:
    if subject.is_before:
        return [note("there is no configuration yet, and so no name by which clients call", _MAKE)]
    return doctor_names.look_at_names(subject.names or _shown_names(tls))


def _certificates(subject: Subject, tls: TlsFiles | None) -> Iterable[Finding]:
    if subject.is_before:
        return [note("there are none yet", _MAKE)]
    wanted = subject.names or _own_names(subject)
    return doctor_certificates.look_at_certificates(tls, wanted, is_local=subject.is_local)


def _shown_names(tls: TlsFiles | None) -> list[str]:
    """The names that the certificate stands for, without those with a star."""
    if tls is None:
        return []
    try:
        found = first_summary(CERTIFICATE_KEY, tls.certificate)
    except OperatorError:
        return []  # which the check of certificates tells
    return [name for name in found.dns_names if not name.startswith("*.")]


def _own_names(subject: Subject) -> list[str]:
    return [] if subject.is_local else [doctor_names.own_name()]
