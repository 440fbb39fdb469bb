"""What a test says of a request that is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

from angos_trio.oci.codes import Code, OciError

T = TypeVar("T")


@contextmanager
def refused(code: Code, status: int) -> Iterator[pytest.ExceptionInfo[OciError]]:
    """The block raises OciError with this code and status."""
    with pytest.raises(OciError) as caught:
        yield caught
    assert (caught.value.code, caught.value.status) == (code, status)


def value_or_refusal(parse: Callable[[], T]) -> T | OciError:
    """The invariant of every parser: a value or an OciError; any other exception passes through."""
    try:
        return parse()
    except OciError as error:
        return error
