"""The `reparam` command: thin files that parse, call and print."""
