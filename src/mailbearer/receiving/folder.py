"""A plain folder: the whole message as NAME.eml."""

from pathlib import Path

from mailbearer.receiving.files import copy_into, place, same_content
from mailbearer.receiving.item import Item, safe_name


def hand_over(item: Item, path: Path) -> None:
    """Put ``item`` into the folder; when this returns it is on the disk. The same message is put in only once."""
    subject = safe_name(item.subject, otherwise="message").replace(".", "_")
    place(path, f"{item.stem}_{subject}.eml", copy_into(item.file), taken=same_content(item.file))
