"""A report as one HTML page that a person reads."""

from reparam.benchmark.page.writing import check_page, write_page

__all__ = ["check_page", "write_page"]
