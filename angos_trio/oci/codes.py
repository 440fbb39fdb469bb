"""The one table of error codes, and the exception that carries them.

Codes are those of the distribution specification, section "Error Codes", and of the registry's own
contract. A code may only be sent with a status that stands in its row.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from angos_trio.records import Frozen


class Code(StrEnum):
    """The `code` of an error body."""

    BLOB_UNKNOWN = "BLOB_UNKNOWN"
    BLOB_UPLOAD_INVALID = "BLOB_UPLOAD_INVALID"
    BLOB_UPLOAD_UNKNOWN = "BLOB_UPLOAD_UNKNOWN"
    DIGEST_INVALID = "DIGEST_INVALID"
    MANIFEST_BLOB_UNKNOWN = "MANIFEST_BLOB_UNKNOWN"
    MANIFEST_INVALID = "MANIFEST_INVALID"
    MANIFEST_UNKNOWN = "MANIFEST_UNKNOWN"
    NAME_INVALID = "NAME_INVALID"
    NAME_UNKNOWN = "NAME_UNKNOWN"
    PAGINATION_NUMBER_INVALID = "PAGINATION_NUMBER_INVALID"
    SIZE_INVALID = "SIZE_INVALID"
    TAG_IMMUTABLE = "TAG_IMMUTABLE"
    TAG_INVALID = "TAG_INVALID"
    UNAUTHORIZED = "UNAUTHORIZED"
    DENIED = "DENIED"
    UNSUPPORTED = "UNSUPPORTED"
    TOOMANYREQUESTS = "TOOMANYREQUESTS"
    UNAVAILABLE = "UNAVAILABLE"
    UNKNOWN = "UNKNOWN"


class Row(Frozen):
    """What the table says of a code: its message and the statuses it may be sent with."""

    message: str
    statuses: tuple[int, ...]


TABLE: Mapping[Code, Row] = MappingProxyType(
    {
        Code.BLOB_UNKNOWN: Row("blob unknown to the repository", (404,)),
        Code.BLOB_UPLOAD_INVALID: Row("blob upload invalid", (400, 409, 413, 416)),
        Code.BLOB_UPLOAD_UNKNOWN: Row("blob upload unknown to the repository", (404,)),
        Code.DIGEST_INVALID: Row("digest invalid or not that of the content", (400,)),
        Code.MANIFEST_BLOB_UNKNOWN: Row("manifest references content that is not here", (404,)),
        Code.MANIFEST_INVALID: Row("manifest invalid", (400, 413)),
        Code.MANIFEST_UNKNOWN: Row("manifest unknown to the repository", (404,)),
        Code.NAME_INVALID: Row("repository name invalid", (400,)),
        Code.NAME_UNKNOWN: Row("repository or path unknown", (404,)),
        Code.PAGINATION_NUMBER_INVALID: Row("number of results invalid", (400,)),
        Code.SIZE_INVALID: Row("length or range invalid", (400, 416)),
        Code.TAG_IMMUTABLE: Row("tag is immutable", (409,)),
        Code.TAG_INVALID: Row("tag invalid", (400,)),
        Code.UNAUTHORIZED: Row("authentication required", (401,)),
        Code.DENIED: Row("access denied", (403, 405, 409, 413)),
        Code.UNSUPPORTED: Row("operation unsupported", (405, 400, 415)),
        Code.TOOMANYREQUESTS: Row("too many requests", (429,)),
        Code.UNAVAILABLE: Row("temporarily unavailable", (502, 503, 507)),
        Code.UNKNOWN: Row("internal error", (500,)),
    }
)

DETAIL_CHARS_MAX = 256


class OciError(Exception):
    """A request that is answered with an error body.

    `status` defaults to the first of the code's row; `detail` is what the error is about (a digest,
    a name, an offset), cut to 256 characters when it is text; `headers` go out with the answer.
    """

    def __init__(
        self,
        code: Code,
        *,
        detail: object = None,
        status: int | None = None,
        message: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        row = TABLE[code]
        self.code = code
        self.status = row.statuses[0] if status is None else status
        if self.status not in row.statuses:
            raise ValueError(f"{code} is never sent with status {self.status}")
        self.message = row.message if message is None else message
        self.detail = detail[:DETAIL_CHARS_MAX] if isinstance(detail, str) else detail
        self.headers = dict(headers or {})
        super().__init__(f"{self.code} {self.status}: {self.message} ({self.detail!r})")
