"""A registry without TLS does not pay for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys, trio
import angos_trio.app.alone, angos_trio.app.family, angos_trio.cli.main
from angos_trio.server.serve import ServeOptions, serve

async def main():
    async def stop():
        return None
    await serve(None, [], ServeOptions(1.0, 0.0), stop)

trio.run(main)
print([name for name in sys.modules if name.startswith(("cryptography", "angos_trio.pki"))])
"""


@pytest.mark.slow
def test_cryptography_is_not_imported_without_tls() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "[]\n"
