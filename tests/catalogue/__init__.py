"""The catalogue of faults: what may be wrong, and the one line that each gets. Rows are data; `page` prints them."""
