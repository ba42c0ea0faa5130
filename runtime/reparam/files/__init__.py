"""Files that come in and go out: checked when read, atomic when written."""
