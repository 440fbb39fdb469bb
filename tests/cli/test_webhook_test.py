"""`angos-trio webhook test`: one message, and what the receiver says to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from angos_trio.cli.main import main
from tests.events.receiver import receiver


def configuration(folder: Path, url: str, token: str = "") -> str:
    file = folder / "angos.toml"
    lines = ["[event_webhook.lab]", f'url = "{url}"', 'policy = "async"', 'events = ["tag.create"]']
    file.write_text("\n".join([*lines, token]), encoding="utf-8")
    return str(file)


def test_message_arrives_signed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with receiver() as told:
        file = configuration(tmp_path, told.url, 'token = "secret"')
        assert main(["webhook", "test", "lab", "-c", file]) == 0
    (found,) = told.received
    assert found.is_signed_with("secret")
    assert found.document["kind"] == found.headers["x-registry-event"] == "webhook.test"
    assert (found.document["phase"], found.document["actor"]["internal"]) == ("test", True)
    assert capsys.readouterr().out.startswith("taken with status 204 after ")


@pytest.mark.parametrize(
    ("status", "problem"),
    [(422, "not taken: the answer has status 422"), (None, "not taken: no connection: ")],
)
def test_what_is_not_taken_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int | None, problem: str
) -> None:
    with receiver(lambda number, document: status or 200) as told:
        file = configuration(tmp_path, told.url)
        if status is None:
            told.stop()
        assert main(["-c", file, "webhook", "test", "lab"]) == 1
    assert problem in capsys.readouterr().err
    assert len(told.received) == (0 if status is None else 1)


def test_webhook_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = configuration(tmp_path, "http://127.0.0.1:1/")

    assert main(["webhook", "test", "lap", "-c", file]) == 1
    said = capsys.readouterr().err
    assert "there is no [event_webhook.lap]; did you mean lab?" in said
