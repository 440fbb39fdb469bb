"""`python -m angos_trio` is the `angos-trio` command."""

from angos_trio.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
