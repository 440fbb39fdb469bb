"""What systemd hands over to the service: copies for it alone, in a directory that is there while
it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from angos_trio.records import Frozen, replace

if TYPE_CHECKING:
    from angos_trio.pki.server import TlsFiles


def is_there(path: str | Path) -> bool:
    """Whether there is something; what is in a directory that is closed to this user counts."""
    try:
        return Path(path).exists()
    except PermissionError:
        return True


class Handed(Frozen):
    """Where systemd puts them, and our own authority, from which it takes some of them."""

    place: Path = Path("/run/credentials/angos-trio.service")
    pki: Path = Path("/etc/angos-trio/pki")

    def has_made(self, path: str) -> bool:
        """Whether a file is such a copy."""
        return Path(path).parent == self.place

    def origin(self, path: str) -> str | None:
        """What a copy is taken from; None where that is not our own authority's."""
        name = Path(path).name
        places = (self.pki / name, self.pki / "private" / name)
        return next((str(place) for place in places if is_there(place)), None)

    def seen(self, tls: TlsFiles) -> TlsFiles:
        """The files that can be looked at now: origins for copies that are not there."""
        return replace(
            tls, certificate=self._seen(tls.certificate), private_key=self._seen(tls.private_key)
        )

    def _seen(self, path: str) -> str:
        if not self.has_made(path) or is_there(path):
            return path
        return self.origin(path) or path

    def kept_keys(self, tls: TlsFiles) -> list[str]:
        """The private key as it lies on this host. A copy has an access list for the service, which
        looks like a mode for a group, and is systemd's own to keep."""
        path = tls.private_key
        kept = self.origin(path) if self.has_made(path) else path
        return [] if kept is None else [kept]

    def read_by_service(self, tls: TlsFiles) -> list[str]:
        """The files that the service itself reads, not systemd for it."""
        return [path for path in tls.paths if not self.has_made(path)]
