"""Other folders that a bundle can be written as, one a file."""
