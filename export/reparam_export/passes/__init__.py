"""Passes over a traced graph, one a file; each says what it requires and what it ensures."""
