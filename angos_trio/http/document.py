"""Bodies that are a small JSON document."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from angos_trio.http.body import BodyTooLargeError
from angos_trio.http.call import Call
from angos_trio.oci.codes import Code, OciError

Kind = TypeVar("Kind")


async def read_document(call: Call, kind: type[Kind], bytes_max: int) -> Kind:
    """The body, decoded strictly as a value of a type; none at all is an empty object.

    Raises NAME_INVALID (400) with the reason, which names the field and quotes nothing of what
    came.
    """
    try:
        content = await call.read_body(bytes_max)
    except BodyTooLargeError as error:
        raise OciError(Code.NAME_INVALID, message=str(error)) from None
    try:
        return msgspec.json.decode(content or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise OciError(Code.NAME_INVALID, message=f"the body: {error}") from None
