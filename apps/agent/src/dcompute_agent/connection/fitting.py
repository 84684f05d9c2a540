"""Keeps messages within the protocol's 256 KiB."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from pydantic import BaseModel

T = TypeVar("T")


def size_of(message: BaseModel) -> int:
    """Bytes of a message as a member of a list on the wire."""
    return len(message.model_dump_json(exclude_none=True).encode()) + 1


def take(items: Iterable[T], size: Callable[[T], int], *, max_count: int, max_bytes: int) -> list[T]:
    """As many items from the front as fit."""
    for group in split(items, size, max_count=max_count, max_bytes=max_bytes):
        return group
    return []


def split(items: Iterable[T], size: Callable[[T], int], *, max_count: int, max_bytes: int) -> Iterator[list[T]]:
    """All items, in groups that fit; an item that is too big by itself makes a group of its own."""
    group: list[T] = []
    room = max_bytes
    for item in items:
        needed = size(item)
        if group and (needed > room or len(group) == max_count):
            yield group
            group, room = [], max_bytes
        group.append(item)
        room -= needed
    if group:
        yield group
