"""A real image in and out with skopeo and podman: that part of `make e2e`, as `make image`."""

from __future__ import annotations

import sys

from tests.e2e.run import main

if __name__ == "__main__":
    sys.exit(main(["--only", "skopeo", "podman"]))
