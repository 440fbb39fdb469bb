"""`angos-trio check`"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from angos_trio.app.certificates import describe_tls, load_tls
from angos_trio.app.plan import make_plan
from angos_trio.config.overrides import load_with_overrides
from angos_trio.config.parse import ParsedConfig
from angos_trio.config.paths import quoted


def check(files: Sequence[str], listen: str | None, data_dir: str | None) -> int:
    """Validate the configuration and print what serving it would mean; changes nothing."""
    parsed = load_with_overrides(files, listen, data_dir)
    plan = make_plan(parsed.config, is_configured=bool(files))
    tls = load_tls(plan.tls)
    for line in [*plan.describe(), *describe_tls(tls), *_sources(files, parsed)]:
        print(line)
    for remark in (*parsed.remarks, *plan.remarks, *(() if tls is None else tls.remarks)):
        print(f"note: {remark}")
    return 0


def _sources(files: Sequence[str], parsed: ParsedConfig) -> Iterator[str]:
    """Where the configuration comes from, without a value."""
    for number, file in enumerate(files):
        yield f"reads {quoted(file)}{', over what was read before' if number else ''}"
    for name, key in sorted(parsed.variables):
        yield f"takes {key} from the environment: {name}"
    for secret in parsed.secret_files:
        yield f"takes a secret from {quoted(secret.path)}, mode {secret.mode:04o}: {secret.key}"
