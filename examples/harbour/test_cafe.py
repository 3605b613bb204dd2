"""What works; what was reported is not in here yet."""

from __future__ import annotations

import unittest
from datetime import UTC, datetime

from cafe.basket import Basket
from cafe.menu import Dish, read_menu, search
from cafe.orders import pickup_time, place
from cafe.receipts import money

SOUP = Dish("Fish soup", 850, ("fish", "milk"))


class CafeTest(unittest.TestCase):
    """The shop on a quiet afternoon."""

    def test_menu(self) -> None:
        """A menu is read with prices in cents."""
        menu = list(read_menu(["name,price,allergens", "Fish soup,8.50,fish; milk"]))
        self.assertEqual(menu, [SOUP])
        self.assertEqual(search(menu, "soup"), [SOUP])

    def test_total(self) -> None:
        """Two soups cost twice as much."""
        basket = Basket()
        basket.add(SOUP, 2)
        self.assertEqual(basket.total(), 1700)

    def test_pickup(self) -> None:
        """Pickup is at a full hour."""
        noon = datetime(2026, 11, 23, 12, 5, tzinfo=UTC)
        self.assertEqual(pickup_time(noon).hour, 13)
        self.assertIn("Pickup 13:00", place(7, Basket([(SOUP, 1)]), noon)[1])

    def test_money(self) -> None:
        """Cents have two digits."""
        self.assertEqual(money(1205), "12.05")


if __name__ == "__main__":
    unittest.main()
