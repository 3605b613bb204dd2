"""Receipts, as they are mailed."""

from __future__ import annotations

from datetime import datetime

from cafe.basket import Basket

WIDTH = 32


def receipt(number: int, basket: Basket, pickup: datetime) -> str:
    """The receipt's text."""
    lines = [f"Harbour Cafe, order {number}", ""]
    for dish, count in basket.lines:
        price = money(dish.price * count)
        lines.append(f"{count} x {dish.name}".ljust(WIDTH - len(price)) + price)
    total = money(basket.total())
    lines += ["", "Total".ljust(WIDTH - len(total)) + total, f"Pickup {pickup:%H:%M}"]
    return "\n".join(lines)


def money(cents: int) -> str:
    """`12.50`; a refund is negative."""
    return f"{cents // 100}.{cents % 100:02}"
