"""A report as one HTML page that a person reads; `write_page` is all that others call."""

from reparam.benchmark.page.writing import write_page

__all__ = ["write_page"]
