"""A file and the sums beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from angos_trio.appliance.sums import SUMS, check_sums
from angos_trio.errors import OperatorError


def test_file_is_compared_with_what_is_listed(tmp_path: Path) -> None:
    file = tmp_path / "new.pyz"
    file.write_bytes(b"new")
    assert check_sums(file, None).startswith("there is no SHA256SUMS beside it")
    (tmp_path / SUMS).write_text(f"{hashlib.sha256(b'new').hexdigest()}  new.pyz\n")
    assert check_sums(file, None) == "its sum is right"
    file.write_bytes(b"torn")
    with pytest.raises(OperatorError, match=r"is not what .* lists: copy it anew"):
        check_sums(file, None)
    file.rename(tmp_path / "other.pyz")
    with pytest.raises(OperatorError, match=r"does not list other\.pyz: do not rename the file"):
        check_sums(tmp_path / "other.pyz", None)


def test_file_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / SUMS).write_text("00  new.pyz\n")
    for name in ("nosuch", "new.pyz"):
        with pytest.raises(OperatorError, match=rf"{name}: No such file: name the one"):
            check_sums(tmp_path / name, None)
