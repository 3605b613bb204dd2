"""Orders for pickup."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cafe.basket import Basket
from cafe.receipts import receipt

PREPARATION = timedelta(minutes=20)


@dataclass(frozen=True)
class Order:
    """An order that was paid."""

    number: int
    basket: Basket
    pickup: datetime
    table: int | None = None


def place(number: int, basket: Basket, now: datetime, table: int | None = None) -> tuple[Order, str]:
    """Take an order; answers it with its receipt."""
    order = Order(number, basket, pickup_time(now), table)
    return order, receipt(order.number, order.basket, order.pickup)


def pickup_time(now: datetime) -> datetime:
    """The next full hour that leaves the kitchen its time."""
    ready = now + PREPARATION
    if ready.minute == 0:
        return ready
    return ready.replace(hour=ready.hour + 1, minute=0, second=0, microsecond=0)
