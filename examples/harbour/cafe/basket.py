"""What a customer is about to order, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass, field

from cafe.menu import Dish


@dataclass
class Basket:
    """Lines of a dish and how many of it; `discount` is a voucher's share of the price, 0.1 for 10 %."""

    lines: list[tuple[Dish, int]] = field(default_factory=list)
    discount: float = 0.0

    def add(self, dish: Dish, count: int = 1) -> None:
        """Put something in."""
        self.lines.append((dish, count))

    def total(self) -> int:
        """What is to be paid, in cents."""
        paid = 0
        for dish, count in self.lines:
            paid += count * round(dish.price * (1 - self.discount))
        return paid
