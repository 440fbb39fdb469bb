"""Forms that pages send by POST: read with bounds, and handled only with a token of ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final

from angos_trio.http.call import Call
from angos_trio.http.fields import parse_fields
from angos_trio.http.front import is_own_page
from angos_trio.http.reply import Reply
from angos_trio.http.routing import Admission, Handler, Operation
from angos_trio.identity import Action, Decision
from angos_trio.limits.lists import FORM_BYTES_MAX, FORM_FIELDS_MAX
from angos_trio.oci.codes import Code, OciError
from angos_trio.records import Frozen, field
from angos_trio.web.form_tokens import FIELD, binding_of, is_token
from angos_trio.web.frame import Site, show

_KIND: Final = "application/x-www-form-urlencoded"


class Form(Frozen):
    """The fields of a form, each with all its values."""

    values: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def one(self, name: str) -> str:
        """The last value of a field; empty for one that is not there."""
        return self.all(name)[-1] if self.all(name) else ""

    def all(self, name: str) -> Sequence[str]:
        """Every value of a field, in the order of the form."""
        return self.values.get(name, ())


FormHandler = Callable[[Call, Form], Awaitable[Reply]]
Refuse = Callable[[Call, Form], Reply]
"""Answers a form that has no token of ours."""


class Posted(Frozen):
    """A form that can be sent: the action that the gate asks about, and the handler.

    `refuse` answers what our pages did not send; without it a page that offers to send the same
    once more.
    """

    action: Action
    handler: FormHandler
    admission: Admission = Admission.POLICY
    refuse: Refuse | None = None


def posted(site: Site, form: Posted) -> Operation:
    """A POST: nothing is done with a form that our pages did not send."""
    return Operation(form.action, _checked(site, form), form.admission)


def _checked(site: Site, wanted: Posted) -> Handler:
    word = wanted.refuse or partial(send_again, site)
    refused = Decision(allowed=False, rule="form-token", reason="the form has no token of ours")

    async def handle(call: Call) -> Reply:
        form = await read_form(call)
        if has_token(site, call, form):
            return await wanted.handler(call, form)
        # Only for the audit log: the answer is a page with a way on.
        call.refuse(wanted.action, refused)
        return word(call, form)

    return handle


async def read_form(call: Call) -> Form:
    """The form of a request, as a browser sends it. Raises UNSUPPORTED (400, 415) for what is
    none, and BodyTooLargeError (413)."""
    kind = (call.header("Content-Type") or "").partition(";")[0].strip().lower()
    if kind != _KIND:
        raise OciError(Code.UNSUPPORTED, status=415, message="this takes a form", detail=kind)
    body = await call.read_body(FORM_BYTES_MAX)
    try:
        return Form(parse_fields(body, FORM_FIELDS_MAX))
    except ValueError:
        raise OciError(Code.UNSUPPORTED, status=400, message="the form cannot be read") from None


def has_token(site: Site, call: Call, form: Form) -> bool:
    """Whether one of our pages sent this, in the browser that it was made for."""
    binding = binding_of(call.request, site.url_of(call.request))
    return binding is not None and is_token(site.form_key, binding, form.one(FIELD))


def send_again(site: Site, call: Call, form: Form) -> Reply:
    """A page that sends the same once more, with a token that counts.

    What to send is repeated only where the browser says that our own page sent it: a form of
    somebody else's must not become one of ours by a click.
    """
    is_ours = comes_from_here(site, call)
    pairs = [(n, v) for n in form.values if n != FIELD for v in form.all(n)] if is_ours else []
    values = {
        "title": "403 · Not sent",
        "fields": pairs,
        "is_ours": is_ours,
        "request_id": call.request_id,
        "crumbs": [("Repositories", "/"), ("403", "")],
    }
    return show(site, call.request, "again.html", values, 403)


def comes_from_here(site: Site, call: Call) -> bool:
    """Whether the browser says that a page of this registry sends the request."""
    url = site.url_of(call.request)
    return is_own_page(call.header("Sec-Fetch-Site"), call.header("Origin"), url)
