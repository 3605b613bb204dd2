"""The menu, as the kitchen's spreadsheet exports it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Dish:
    """Something that can be ordered. `price` is in cents."""

    name: str
    price: int
    allergens: tuple[str, ...] = ()


def read_menu(lines: Iterable[str]) -> Iterator[Dish]:
    """Read `name,price,allergens`; allergens are separated by `;`."""
    for row in csv.DictReader(lines):
        allergens = tuple(word.strip() for word in row["allergens"].split(";") if word.strip())
        yield Dish(row["name"], round(float(row["price"]) * 100), allergens)


def search(menu: Iterable[Dish], words: str) -> list[Dish]:
    """Dishes whose name holds what the customer typed."""
    return [dish for dish in menu if words in dish.name]
