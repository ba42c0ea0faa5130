"""What may be wrong with a bundle's manifest.json."""

from catalogue.row import Place, Row


def text(old: str, new: str) -> object:
    """A bundle whose manifest has other text in one place."""

    def make(place: Place) -> None:
        file = place.bundle() / "manifest.json"
        whole = file.read_text()
        assert old in whole
        file.write_text(whole.replace(old, new, 1))

    return make


def written(data: bytes) -> object:
    return lambda place: (place.bundle() / "manifest.json").write_bytes(data)


def _row(key: str, fault: str, message: str, make: object) -> Row:
    return Row(
        key=f"manifest-{key}",
        fault=fault,
        way="reparam info AT/bundle",
        message=f"AT/bundle/manifest.json: {message}",
        code=3,
        make=make,  # type: ignore[arg-type]
    )


ROWS = [
    _row("empty", "an empty file", "not a valid manifest: <reason>; export the bundle again", written(b"")),
    _row("text", "no JSON", "not a valid manifest: <reason>; export the bundle again", written(b"hello")),
    _row(
        "utf-8",
        "JSON that is not UTF-8",
        "not a valid manifest: <reason>; export the bundle again",
        written(b'{"name": "\xff"}'),
    ),
    _row(
        "large",
        "more than a mebibyte",
        "a manifest has at most 1048576 bytes, got 1048577; copy the bundle again",
        written(b" " * 3 * 2**20),
    ),
    _row(
        "deep",
        "nested 100,000 deep",
        "not a valid manifest: <reason>; export the bundle again",
        written(b"[" * 100_000),
    ),
    _row(
        "unknown-key",
        "a key that the format does not have",
        "not a valid manifest: Object contains unknown field `colour`; export the bundle again",
        text('"format":', '"colour": 1, "format":'),
    ),
    _row(
        "repeated-key",
        "a key that stands twice",
        "not a valid manifest: a key stands twice in one object; export the bundle again",
        text('"name": "tiny"', '"name": "tiny", "name": "tiny"'),
    ),
    _row(
        "version",
        "a version of the format that is to come",
        "not a valid manifest: <reason>; export the bundle again",
        text('"version": 1', '"version": 2'),
    ),
    _row(
        "path",
        "a file name that leads out of the folder",
        "not a valid manifest: <reason> - at `$.graphs[<n>].file`; export the bundle again",
        text('"encoder.onnx"', '"../encoder.onnx"'),
    ),
    _row(
        "missing-graph",
        "one role named twice and the other not at all",
        "a role and precision, or a file name, stands twice; export the bundle again",
        text('"role": "decoder"', '"role": "encoder"'),
    ),
    _row(
        "deterministic",
        "deterministic, with a law of noise",
        "deterministic means no noise law, got both or neither; export the bundle again",
        text('"deterministic": false', '"deterministic": true'),
    ),
    _row(
        "terminal",
        "a key that would write to the terminal",
        r"not a valid manifest: Object contains unknown field `\x1b[2Jred`; export the bundle again",
        text('"format":', r'"\u001b[2Jred": 1, "format":'),
    ),
]
