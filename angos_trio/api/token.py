"""`/token`: Docker's token flow (distribution specification, token authentication) by GET, and by
POST as OAuth2 clients send it (RFC 6749 4.3)."""

from __future__ import annotations

import base64
from typing import Final

from angos_trio.api.context import Runtime
from angos_trio.auth.tokens import is_registry_token
from angos_trio.clock import epoch_seconds, iso
from angos_trio.http.call import Call
from angos_trio.http.fields import parse_fields
from angos_trio.http.reply import Reply, json_reply
from angos_trio.identity import Identity
from angos_trio.limits.requests import QUERY_FIELDS_MAX, TOKEN_REQUEST_BYTES_MAX
from angos_trio.oci.codes import Code, OciError

FORM: Final = "application/x-www-form-urlencoded"


class Tokens:
    """Handlers of one path. A token says who its bearer is, and nothing of what they may do."""

    def __init__(self, runtime: Runtime) -> None:
        self._token_for = runtime.token_for

    async def get(self, call: Call) -> Reply:
        """GET: a token for who is calling; callers who show nothing get one for nobody."""
        scheme, _, shown = (call.header("Authorization") or "").partition(" ")
        if scheme.lower() == "bearer" and is_registry_token(shown.strip()):
            # Or a token that was given once would never end (and it outlives no password).
            raise OciError(
                Code.DENIED, status=403, message="no token is given for a token", detail="/token"
            )
        return self._issue(call.caller.identity)

    async def post(self, call: Call) -> Reply:
        """POST: the same for the user and password of a form."""
        kind = (call.header("Content-Type") or "").partition(";")[0].strip().lower()
        if kind != FORM:
            detail = kind or FORM
            raise OciError(Code.UNSUPPORTED, status=415, message=f"send {FORM}", detail=detail)
        form = _parse_form(await call.read_body(TOKEN_REQUEST_BYTES_MAX))
        if form.get("grant_type") != "password":
            raise OciError(
                Code.UNSUPPORTED,
                status=400,
                message="tokens are given for a password, grant_type=password",
                detail=form.get("grant_type"),
            )
        pair = f"{form.get('username', '')}:{form.get('password', '')}".encode()
        shown = f"Basic {base64.b64encode(pair).decode()}"
        return self._issue(await call.identify(shown))

    def _issue(self, identity: Identity) -> Reply:
        issued = self._token_for(identity)
        if issued is None:
            raise OciError(Code.NAME_UNKNOWN, message="no such path", detail="/token")
        token, expires_in = issued
        document = {
            "token": token,
            "access_token": token,
            "expires_in": expires_in,
            "issued_at": iso(epoch_seconds()),
        }
        return json_reply(200, document, {"Cache-Control": "no-store"})


def _parse_form(body: bytes) -> dict[str, str]:
    """The first value of each field. Raises UNSUPPORTED (400) for what is no form."""
    try:
        fields = parse_fields(body, QUERY_FIELDS_MAX)
    except ValueError:
        raise OciError(Code.UNSUPPORTED, status=400, message="the form cannot be read") from None
    return {name: values[0] for name, values in fields.items()}
