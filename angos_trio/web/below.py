"""What is below a name, as its page shows it: namespaces or folders of them, and in words what is
kept there and what the caller may do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from angos_trio.browse.folders import Folder
from angos_trio.browse.repositories import Namespace
from angos_trio.storage.metadata.below import OWN
from angos_trio.web.asking import Link
from angos_trio.web.places import path_of
from angos_trio.web.words import counted, span

NAMESPACE_COLUMNS: Final = (
    *(("name", "Namespace"), ("tags", "Tags"), ("manifests", "Manifests"), ("size", "Size")),
    *(("-uploads", "Uploads"), ("pushed", "Last push")),
)
FOLDER_COLUMNS: Final = (
    *(("name", "Folder"), ("-namespaces", "Namespaces"), ("tags", "Tags")),
    *(("manifests", "Manifests"), ("size", "Size"), ("-uploads", "Uploads")),
    ("pushed", "Last push"),
)


def namespace_row(namespace: Namespace, name: str) -> dict[str, object]:
    """A namespace as the page of a name above it shows it."""
    path = Link(path_of(namespace.row.name))
    is_itself = namespace.row.name == name
    return {
        "namespace": namespace,
        "label": namespace.row.name if is_itself else namespace.row.name.removeprefix(f"{name}/"),
        "href": path.having(view="tags") if is_itself else path.path,
    }


def folder_row(folder: Folder, name: str) -> dict[str, object]:
    """A folder as the page of the name above it shows it; a slash says that there is more in it."""
    if folder.segment == OWN:
        return {"folder": folder, "label": name, "href": Link(path_of(name)).having(view="tags")}
    slash = "/" if folder.deeper else ""
    return {
        "folder": folder,
        "label": f"{folder.segment}{slash}",
        "href": path_of(f"{name}/{folder.segment}"),
    }


def kept_in_words(rules: int, untagged_secs: int | None) -> str:
    """What goes by itself: `rules` say which tags stay, manifests without one stay so many seconds,
    or until somebody deletes them."""
    if not rules and untagged_secs is None:
        return "Nothing goes by itself."
    tags = f"Tags are kept by {counted(rules, 'rule')}" if rules else "Tags are kept"
    if untagged_secs is None:
        return f"{tags}."
    return f"{tags}, manifests without one for {span(untagged_secs)}."


def rights_in_words(rights: Mapping[str, bool]) -> str:
    """What the caller may do here, but for rules about single tags."""
    may = [word for word in ("pull", "push", "delete") if rights[word]]
    if not may:
        return "You may look here, and neither pull nor push."
    return f"You may {_listed(may)} here."


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
