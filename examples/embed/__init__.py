"""A product's pages with Linkspan's elements in them, and the few lines of its backend that they need."""
