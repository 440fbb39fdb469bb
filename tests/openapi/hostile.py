"""What no client means: each part of a request as odd as HTTP lets it be."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from tests.openapi.asking import Wanted
from tests.openapi.parts import BYTES, FORM, JSON

SEGMENTS: Final = (
    *("%00", "%ff", "%2f", "%2F..%2f", "%c0%af", "%ed%a0%80", "%", "%zz", "%25", "..", ".", ""),
    *(
        "a" * 300,
        "A",
        "a%0ab",
        "a%20b",
        "%e2%80%ae",
        "%F0%9F%92%A9",
        "sha256:",
        "sha1:00",
        "@",
        ":",
    ),
    *("_ext", "blobs", "a:b@c", "a@sha256:" + "0" * 64, "<script>", '"', "\\", ";a=b", "~", "*"),
)
"""Of a path, as they stand on the wire."""
QUERIES: Final = (
    *("%ff", "%", "=", "&&&", "a=%ed%a0%80", "q=%00", "q=%f0%9f%92%a9", "q=" + "a" * 256),
    *("n=1&n=2", "n=-1", "n=1e3", "n=99999999999999999999", "n=" + "9" * 400, "n=%d9%a1", "n=0"),
    *("after=%00", "after=" + "z" * 5000, "after=99999999999999999999", "after=-1", "after=W10"),
    *("last=%00&n=1", "last=a&last=b", "behind=99999999999999999999", "behind=x", "order=up"),
    *("sort=size&order=desc&after=AAAA", "sort=nothing", "view=nothing", "open=x&open=y", "n=7"),
    *("digest=x", "digest=sha1:00&digest=sha1:00", "mount=x&from=Y", "digest-algorithm=md5"),
    *("tag=%00", "tag=" + "a" * 129, "ref=%00&ref=", "ref=sha256:0", "ref=sha1:00", "tag=a&tag=b"),
    *("artifactType=%2b", "artifactType=a&artifactType=b", "plan=%00", "plan=" + "p" * 5000),
    *("from=99999999999999999", "from=x", "only=x", "namespace=%00", "namespace=A", "follow=x"),
    *("since=99999999999999999999", "before=0", "kind=%25", "actor=%00", "repository=%0a%00"),
    *("repository=" + "r" * 5000, "repository=%e2%80%ae", "&".join(f"k{n}=1" for n in range(300))),
    "&".join(["ref=a"] * 200),
)
HEADERS: Final = (
    {"Range": "bytes=99999999999999999999-"},
    {"Range": "bytes=-0"},
    {"Range": "bytes=5-1,2-3"},
    {"Range": "\xff" * 100},
    {"Content-Range": "99999999999999999999-99999999999999999999"},
    {"Content-Range": "bytes 0-0/*"},
    {"Content-Range": "\xb2-\xb3"},
    {"If-None-Match": '"' * 3000},
    {"If-None-Match": "*"},
    {"If-Range": "\x80"},
    {"Content-Type": "\xff/\xff; charset=\xff"},
    {"Content-Type": "text/plain; " * 500},
    {"Accept": "\xff", "Accept-Encoding": "gzip;q=x", "Accept-Language": "*" * 4000},
    {"Cookie": "theme=\xff; theme=light; =; ;;"},
    {"Cookie": "a" * 20_000},
    {"Origin": "null"},
    {"Origin": "http://[::1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Host": "evil.example"},
    {"Host": "a b"},
    {"Host": "[::1"},
    {"X-Forwarded-For": "\xff", "X-Forwarded-Proto": "\xff", "X-Real-IP": "x"},
    {"X-Long": "x" * 60_000},
    {"X-Too-Long": "x" * 70_000},
    {"Upgrade": "websocket", "Connection": "Upgrade"},
    {"Expect": "200-ok"},
    {"Authorization": "\xff"},
    {"Authorization": "Basic !!!"},
    {"Authorization": "Bearer " + "x.y.z" * 2000},
)
BODIES: Final = (
    (b"", JSON),
    (b"\x00", JSON),
    (b"\xff\xfe", JSON),
    (b"[" * 100_000, JSON),
    (b'{"a":' * 5_000, JSON),
    (b'{"references": ["\\ud800"], "token": "\\udfff"}', JSON),
    (b'{"references": [1], "token": null}', JSON),
    (b'{"references": [' + b'"a",' * 1_000 + b'"a"], "token": ""}', JSON),
    (b'{"rate": 1' + b"0" * 400 + b"}", JSON),
    (b'{"rate": 9223372036854775808, "dry_run": true}', JSON),
    (b'{"rate": -1}', JSON),
    (b'{"rate": 1e999}', JSON),
    (b'{"dry_run": "yes", "now": 3}', JSON),
    (b'{"dry_run": true, "dry_run": false}', JSON),
    (b"null", JSON),
    (b"NaN", JSON),
    (b'"' + b"x" * 70_000 + b'"', JSON),
    (b'{"schemaVersion": 1e999, "config": {"digest": "\\u0000"}}', JSON),
    (b'{"schemaVersion": 2, "config": {"size": 99999999999999999999}, "layers": 0}', ""),
    (b"grant_type=password&username=%ff&password=%00", FORM),
    (b"grant_type=password&username=\xff", FORM),
    (b"grant_type=" + b"x" * 20_000, FORM),
    (b"theme=%00&next=//evil.example&next=%0d%0aX:y", FORM),
    (b"a=b&" * 5_000, FORM),
    (b"x" * 100, BYTES),
    (b"x" * 100, "multipart/form-data"),
)


def hostile(wanted: Wanted) -> Iterator[Wanted]:
    """Requests beside one that means something, each with one part that is odd."""
    path, _, query = wanted.target.partition("?")
    parts = path.split("/")
    for number in range(1, len(parts)):
        for segment in SEGMENTS:
            odd = "/".join([*parts[:number], segment, *parts[number + 1 :]])
            yield _of(wanted, f"{odd}?{query}" if query else odd)
    for more in QUERIES:
        yield _of(wanted, f"{path}?{more}")
        yield _of(wanted, f"{path}?{query}&{more}")
    for headers in HEADERS:
        yield Wanted(wanted.method, wanted.target, {**wanted.headers, **headers}, wanted.body)
    if wanted.method in ("POST", "PUT", "PATCH", "DELETE"):
        for body, kind in BODIES:
            yield Wanted(wanted.method, wanted.target, {"Content-Type": kind} if kind else {}, body)


def some_of(wanted: Wanted, seed: int, count: int) -> list[Wanted]:
    """So many of them, others with each seed."""
    found = list(hostile(wanted))
    return random.Random(seed).sample(found, min(count, len(found)))


def _of(wanted: Wanted, target: str) -> Wanted:
    return Wanted(wanted.method, target, wanted.headers, wanted.body)
