"""Harbour Cafe: order ahead, pick up at the quay."""
