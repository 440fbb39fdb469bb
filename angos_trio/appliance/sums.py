"""What came beside a file: `SHA256SUMS`, and who signed it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from angos_trio.appliance.archive import digest_of, sums_of
from angos_trio.errors import OperatorError
from angos_trio.pki.signatures import check_signature

SUMS: Final = "SHA256SUMS"


def check_sums(file: Path, public_key: Path | None) -> str:
    """Compare a file with the sums beside it; what was found out, in words. Raises OperatorError.

    With a public key there must be sums, and its holder must have signed them.
    """
    if not file.exists():
        raise OperatorError(f"{file}: No such file: name the one that is to be installed")
    sums = file.parent / SUMS
    content = _content(sums, is_needed=public_key is not None)
    if content is None:
        return f"there is no {SUMS} beside it to compare it with"
    words = "its sum is right"
    if public_key is not None:
        key = _content(public_key, is_needed=True) or b""
        signature = _content(sums.with_name(f"{SUMS}.sig"), is_needed=True) or b""
        check_signature(key, content, signature)
        words = "its sum is right, and signed"
    wanted = sums_of(content.decode(errors="replace")).get(file.name)
    if wanted is None:
        raise OperatorError(f"{sums} does not list {file.name}: do not rename the file before this")
    if digest_of(file) != wanted:
        raise OperatorError(f"{file} is not what {sums} lists: copy it anew")
    return words


def _content(path: Path, *, is_needed: bool) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        if is_needed:
            raise OperatorError(f"{path} is not there, and is needed to check the file") from None
        return None
    except OSError as error:
        raise OperatorError(f"{path}: {error.strerror}") from error
