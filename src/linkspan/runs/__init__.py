"""Recipes as durable work: what is asked for, worked, decided, published, written back and kept."""
