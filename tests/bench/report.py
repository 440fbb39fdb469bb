"""The figures as tables: the same text on the terminal and in docs/performance.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.callers import COST_MAX, JUDGED, cost_of, costs_of, too_dear
from tests.bench.machine import Machine
from tests.bench.mirrors import COLD_MIN, MINIMA, too_slow
from tests.bench.rows import Figures, Measured
from tests.bench.sides import OURS, SWEEP_WORKERS, THEIRS, Memory, Start

RATIO_MIN = 1.0
START_SECS_MAX = 1.0
START_RATIO_MAX = 2.5
"""To the import of the libraries: on a slow or busy machine both take longer."""
SWEEP_RATIO_MIN = 1.3
FAMILY_IDLE_BYTES_MAX = 150 << 20
IDLE_BYTES_MAX = 80 << 20
MIB = 1 << 20


@dataclass(frozen=True)
class Report:
    """Everything that was found out; `starts` is ours and theirs."""

    machine: Machine
    versions: tuple[str, str]
    date: str
    rounds: int
    measured: Sequence[Measured]
    starts: tuple[Start, Start]
    swept: Sequence[Measured]
    """Several workers beside one."""
    family_idle: Memory
    """Of several workers, their steward and supervisor while nobody asks."""
    callers: Sequence[Measured] = ()
    """Ours with callers who are known, beside ours without."""
    mirrors: Sequence[Measured] = ()
    """Pulling through, beside something else."""

    def shortfalls(self, ratio_min: float = RATIO_MIN) -> list[str]:
        """What is not as it is meant to be, one line each."""
        ours = self.starts[0]
        found = [
            f"{item.row.name}: ratio {item.ratio:.2f}"
            for item in self.measured
            if item.ratio < ratio_min
        ]
        start_secs_max = max(START_SECS_MAX, START_RATIO_MAX * ours.libraries_secs)
        if max(ours.empty_secs, ours.again_secs) > start_secs_max:
            found.append(f"start-up: more than {start_secs_max:.2f} s")
        if ours.idle.resident > IDLE_BYTES_MAX:
            found.append(f"idle memory: more than {IDLE_BYTES_MAX // MIB} MiB")
        found += [
            f"{SWEEP_WORKERS} workers, {item.row.name}: ratio {item.ratio:.2f}"
            for item in self.swept
            if item.ratio < SWEEP_RATIO_MIN * ratio_min
        ]
        if self.family_idle.proportional > FAMILY_IDLE_BYTES_MAX:
            found.append(f"idle family: more than {FAMILY_IDLE_BYTES_MAX // MIB} MiB")
        return [
            *found,
            *too_dear(self.callers, ratio_min),
            *too_slow(self.mirrors, ratio_min),
        ]


def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table, aligned so that it can be read as it is; all but the first to the right."""
    widths = [max(len(line[column]) for line in (heads, *lines)) for column in range(len(heads))]

    def row(cells: Sequence[str]) -> str:
        padded = [cells[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return f"| {' | '.join(padded)} |"

    rule = [f"{'-' * widths[0]}", *(f"{'-' * (width - 1)}:" for width in widths[1:])]
    return "\n".join([row(heads), row(rule), *map(row, lines)])


def family_memory(report: Report) -> str:
    """What several processes hold while idle, in a sentence."""
    share = report.family_idle.proportional / MIB
    return (
        f"While idle {SWEEP_WORKERS} workers, the steward and the supervisor hold {share:.1f} MiB "
        f"(PSS); at most {FAMILY_IDLE_BYTES_MAX // MIB} MiB are meant."
    )


def sweep_table(swept: Sequence[Measured]) -> str:
    """Several workers beside one."""
    return throughput_table(swept, f"{SWEEP_WORKERS} workers", "1 worker")


def callers_table(callers: Sequence[Measured]) -> str:
    """What it costs to know the caller."""
    return table(
        ("with", "requests/s", "without", "a request", "without", "cost", "lowest to highest"),
        [
            (
                item.row.name,
                f"{item.ours.throughput:,.0f}",
                f"{item.theirs.throughput:,.0f}",
                f"{item.ours.server_ms:.3f} ms",
                f"{item.theirs.server_ms:.3f} ms",
                f"{cost_of(item):.2f}",
                f"{costs_of(item)[0]:.2f} to {costs_of(item)[-1]:.2f}",
            )
            for item in callers
        ],
    )


def mirrors_table(mirrors: Sequence[Measured]) -> str:
    """Pulling through, and what it is measured beside."""
    return table(
        ("load", "clients", "through", "beside", "ratio", "at least", "lowest to highest"),
        [
            (
                item.row.name,
                str(item.row.clients),
                f"{item.ours.throughput:,.1f} {item.row.unit}/s",
                f"{item.theirs.throughput:,.1f} {item.row.unit}/s",
                f"{item.ratio:.2f}",
                f"{MINIMA[item.row.name]:.2f}",
                f"{item.ratios[0]:.2f} to {item.ratios[-1]:.2f}",
            )
            for item in mirrors
        ],
    )


def throughput_table(measured: Sequence[Measured], ours: str = OURS, theirs: str = THEIRS) -> str:
    """Ratios, and what they come from."""
    return table(
        ("load", "clients", ours, theirs, "ratio", "lowest to highest"),
        [
            (
                item.row.name,
                str(item.row.clients),
                f"{item.ours.throughput:,.1f} {item.row.unit}/s",
                f"{item.theirs.throughput:,.1f} {item.row.unit}/s",
                f"{item.ratio:.2f}",
                f"{item.ratios[0]:.2f} to {item.ratios[-1]:.2f}",
            )
            for item in measured
        ],
    )


def latency_table(measured: Sequence[Measured]) -> str:
    """How long one operation takes, in milliseconds."""
    return table(
        ("load", f"{OURS} p50", "p99", f"{THEIRS} p50", "p99"),
        [
            (
                item.row.name,
                *(
                    f"{side.latency_ms(share):,.1f} ms"
                    for side in (item.ours, item.theirs)
                    for share in (0.5, 0.99)
                ),
            )
            for item in measured
        ],
    )


def processor_table(measured: Sequence[Measured]) -> str:
    """Where the processor time went, in cores; and what an operation costs the registry."""

    def cells(side: Figures) -> tuple[str, str, str]:
        cost = f"{side.server_ms:,.2f} ms"
        return f"{side.server_cores:.2f}", f"{side.client_cores:.2f}", cost

    return table(
        ("load", f"{OURS} cores", "client", "an operation",
         f"{THEIRS} cores", "client", "an operation"),
        [(item.row.name, *cells(item.ours), *cells(item.theirs)) for item in measured],
    )  # fmt: skip


def start_table(report: Report) -> str:
    """Start-up and memory of both, beside our bounds."""
    ours, theirs = report.starts
    loaded = max(report.measured, key=lambda item: item.our_memory.resident)
    their_loaded = max(item.their_memory.resident for item in report.measured)
    secs, idle = f"{START_SECS_MAX:.0f} s", f"{IDLE_BYTES_MAX // MIB} MiB"
    return table(
        ("", OURS, "bound", THEIRS),
        [
            ("start, empty directory", _secs(ours.empty_secs), secs, _secs(theirs.empty_secs)),
            ("start, same directory", _secs(ours.again_secs), secs, _secs(theirs.again_secs)),
            ("import of the libraries alone", _secs(ours.libraries_secs), "", ""),
            ("processor time of a start", _secs(ours.processor_secs), "",
             _secs(theirs.processor_secs)),
            ("resident, idle", _mib(ours.idle.resident), idle, _mib(theirs.idle.resident)),
            ("its own share (PSS), idle", _mib(ours.idle.proportional), idle,
             _mib(theirs.idle.proportional)),
            (f"resident after the load ({loaded.row.name})", _mib(loaded.our_memory.resident), "",
             _mib(their_loaded)),
        ],
    )  # fmt: skip


def _secs(seconds: float) -> str:
    return f"{seconds:.2f} s"


def _mib(size: int) -> str:
    return f"{size / MIB:.1f} MiB"


def document(report: Report) -> str:
    """The page docs/performance.md."""
    machine = report.machine
    return f"""# Performance

This page is written by `make bench`, which runs this registry and Debian's `docker-registry` side
by side and gives both the same load. A ratio is our throughput divided by theirs: above 1 is in our
favour.

## Result

{throughput_table(report.measured)}

"Lowest to highest" are the ratios of the single pairs of runs.
{_verdict(report)}

{latency_table(report.measured)}

Percentiles are over the operations of all runs. An operation is one image, one request, one page,
or the whole catalog page by page.

{processor_table(report.measured)}

## Workers

{sweep_table(report.swept)}

Both are ours, with `server.workers = {SWEEP_WORKERS}` and with 1, on the same cores as
the client. {family_memory(report)}

Cores are processor seconds by seconds of the run, for the registry and for the load client beside
it; of {machine.cores} cores there are. "An operation" is processor time of the registry alone.

## Callers

{callers_table(report.callers)}

The cost is the registry's processor time for a request with by without, or the throughput without
by with, whichever is more, as the median over neighbouring runs; on one worker with 32 connections.
Passwords and rules are asked over plain HTTP, certificates and all three over TLS. The password has
been right before, and so is remembered; of the ten rules only the last is true, so that each is
asked. Each of the {len(JUDGED)} alone is to cost at most {COST_MAX}; all three are only shown.

{_through(report)}
## Start-up and memory

{start_table(report)}

From the start of the process to the first 200 on `/readyz` (`/v2/` for the other), median of five;
ours in one process, as it starts without a configuration. After the load it has its workers.
Where the import of the libraries alone takes long, the bound is {START_RATIO_MAX} times that.

## Machine and versions

- {report.date}; angos-trio {report.versions[0]}, docker-registry {report.versions[1]}
- {machine.cores} cores{f" ({machine.processor})" if machine.processor else ""}, \
{machine.memory_gib:.0f} GiB of memory, {machine.system}, Linux {machine.kernel}
- data on {machine.file_system}, where making a 4 KiB write durable takes {machine.sync_ms:.2f} ms
- load average before the run: {machine.load:.2f}

{_method(report)}"""


def _verdict(report: Report) -> str:
    if not report.shortfalls():
        return "Every ratio is at least 1."
    return "Short of what is meant: " + "; ".join(report.shortfalls()) + "."


def _through(report: Report) -> str:
    return f"""## Pulling through

{mirrors_table(report.mirrors)}

The upstream is a docker-registry on this host. *Warm* is beside the same images in a registry of
ours that they were pushed to. *Cold, 100 MB/s* is from an upstream behind a program that lets so
much through in a second, beside pulls from there without us; {COLD_MIN:.2f} is 1.2 times its own
transfer. The others are beside docker-registry in proxy mode before the same upstream: it gives a
blob out first, fetches it a second time to store it, and is still at that when its client has all.
What is cold is new in each run. Before each there is memory at hand for what comes: on a virtual
machine that gives its host what is free, the first write to it takes ten times as long.
"""


def _method(report: Report) -> str:
    return f"""## Method

- Both registries store on the same file system, speak plain HTTP on the loopback address and run at
  the same time, one idle while the other is measured. Ours has a configuration file that says
  nothing, so that a worker for each core answers, with its default durability: what was
  acknowledged has been synced. The other, which uses all cores by itself, has Debian's
  configuration (in-memory cache of blob descriptors, delete enabled), without authentication,
  without access log, errors only.
- A row begins on empty data. After a run to warm up, {report.rounds} runs of each side alternate,
  with a `sync` of the disk before each. The figure is the median of the runs.
- An image is a layer of random bytes, a config and a manifest pushed by tag; pushed images are
  unique, so nothing is there already. Blobs are sent by POST and PUT, and where the row says so by
  POST, PATCH with chunks of 32 KiB, and PUT. A pull is HEAD and GET of the manifest by tag, GET of
  the config and GET of the layer, from the page cache.
- The tags are one manifest under many names, asked for as one page. The catalog is followed by its
  `Link` to the end in pages of 1,000.
- The load client (`tests/bench/client`) is a Go program that makes and hashes its content before
  the clock starts and uses one kept-alive connection for each client. Every answer is checked for
  status and length, and a wrong one ends the run. What is pulled is dropped by the kernel uncopied.
"""
