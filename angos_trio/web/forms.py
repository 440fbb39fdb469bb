"""Forms of pages, as browsers send them (`application/x-www-form-urlencoded`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from angos_trio.http.body import BodyTooLargeError
from angos_trio.http.call import Call
from angos_trio.limits import FORM_BYTES_MAX, FORM_FIELDS_MAX
from angos_trio.oci.codes import Code, OciError


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form; an empty one counts as absent."""

    fields: dict[str, list[str]] = field(default_factory=dict)

    def all(self, name: str) -> list[str]:
        """Every value of a field that may be repeated."""
        return self.fields.get(name, [])

    def one(self, name: str) -> str:
        """The last value of a field, empty where there is none."""
        return next(reversed(self.all(name)), "")


async def read_form(call: Call) -> Form:
    """The form that a request brings. Raises NAME_INVALID (400) for what is none."""
    try:
        body = await call.read_body(FORM_BYTES_MAX)
        pairs = parse_qsl(body.decode("ascii"), errors="strict", max_num_fields=FORM_FIELDS_MAX)
    except (ValueError, BodyTooLargeError):
        raise OciError(Code.NAME_INVALID, message="the form cannot be read") from None
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return Form(fields)
