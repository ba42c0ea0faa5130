"""One file for each kind of model that can be exported, each giving a `Source`."""
