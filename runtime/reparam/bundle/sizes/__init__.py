"""How large each value of a graph is, known before it runs."""
