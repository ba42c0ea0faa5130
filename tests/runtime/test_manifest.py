"""The manifest is strict: an unknown, repeated, missing or impossible entry is refused, and never half understood."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import reparam
from reparam.errors import BundleError

FREE = {"versions", "metrics", "options", "worst"}  # objects whose keys are data
JUNK: list[Any] = [None, True, -1, 0, 2**70, 1.5, "", "x", "\x00", [], [1], {}, {"a": 1}]
Json = dict[str, Any]
Maker = Callable[..., Path]


# what may be unknown, or is only there for some models
NULLABLE = {"low", "high", "factors", "likelihood", "scaling_factor", "shift_factor", "sizes", "std", "training"}


def refused(folder: Path, text: str | bytes, message: str = "") -> BundleError:
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    (folder / "manifest.json").write_bytes(data)
    with pytest.raises(BundleError, match=rf"manifest\.json: .*{message}") as caught:
        reparam.load(folder, device="cpu")
    assert "\n" not in str(caught.value)
    return caught.value


def objects(node: Any, key: str = "") -> Iterator[Json]:
    """Every object whose keys the format fixes."""
    if isinstance(node, dict):
        if key not in FREE:
            yield node
        for name, child in node.items():
            yield from objects(child, name)
    elif isinstance(node, list):
        for child in node:
            yield from objects(child, key)


@pytest.fixture
def manifest(copied: Path) -> Json:
    loaded: Json = json.loads((copied / "manifest.json").read_bytes())
    return loaded


def test_an_unknown_key_is_refused_at_every_level(copied: Path, manifest: Json) -> None:
    places = list(objects(manifest))
    assert len(places) >= 10
    for place in places:
        place["surprise"] = 1
        refused(copied, json.dumps(manifest), "unknown field `surprise`.*; export the bundle again")
        del place["surprise"]


def test_a_repeated_key_is_refused_at_every_level(copied: Path, manifest: Json) -> None:
    for place in objects(manifest):
        for key in list(place):
            place["twice"] = place[key]
            text = json.dumps(manifest).replace('"twice"', json.dumps(key))
            del place["twice"]
            refused(copied, text, "a key stands twice in one object")


def test_every_required_key_is_missed(copied: Path, manifest: Json) -> None:
    optional = NULLABLE | {"format", "version", "dtype", "prior", "noise", "shape_nodes", "largest", "variants"}
    optional -= {"likelihood"}
    for place in objects(manifest):
        for key in set(place) - optional:
            value = place.pop(key)
            refused(copied, json.dumps(manifest), f"missing required field `{key}`")
            place[key] = value


@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_a_value_of_another_kind_is_refused_in_every_place(copied: Path, manifest: Json, junk: Any) -> None:
    tried = 0
    for place in objects(manifest):
        for key, value in list(place.items()):
            allowed_null = junk is None and key in NULLABLE
            number_for_number = isinstance(value, int | float) and isinstance(junk, int | float)
            text_for_text = isinstance(value, str) and isinstance(junk, str)
            same_kind = type(junk) is type(value) or number_for_number or text_for_text
            if allowed_null or same_kind or value is None:  # null says nothing of the kind that would be right
                continue
            place[key] = junk
            refused(copied, json.dumps(manifest))
            place[key] = value
            tried += 1
    assert tried > 5


@pytest.mark.parametrize(
    "name",
    ["../x.onnx", "/etc/passwd", "a/b.onnx", "a\\b.onnx", "a\0b", "", ".", "..", ".hidden", "x" * 101, "a\n", "\u00e9"],
)
def test_a_file_name_that_is_more_than_a_name_is_refused(copied: Path, manifest: Json, name: str) -> None:
    for entry in (*manifest["graphs"], manifest["golden"]):
        kept, entry["file"] = entry["file"], name
        refused(copied, json.dumps(manifest), "not a valid manifest: ")
        entry["file"] = kept


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"version": 1', '"version": 2', "not a valid manifest"),
        ("reparam-bundle", "other-bundle", "not a valid manifest"),
        ('"low": ', '"low": NaN, "high": ', "malformed|stands twice"),
        ('"seed": ', '"seed": Infinity, "x": ', "malformed"),
        ('"version": 1', '"version": 1e999', "not a valid manifest"),
        ('"version": 1', '"version": ' + "1" * 5000, "not a valid manifest"),
        ('"version": 1,', '"version": 1,,', "malformed"),
        ('"version": 1', '"version": 1 /* one */', "malformed"),
        ('"version"', "'version'", "malformed"),
        ('"channels_first"', '"height_first"', "not a valid manifest"),
        ('"fp32"', '"fp64"', "not a valid manifest"),
        ('"deterministic": false', '"deterministic": true', "deterministic means no noise law"),
        ('"role": "decoder"', '"role": "encoder"', "stands twice"),
        ('"decoder.onnx"', '"encoder.onnx"', "stands twice"),
        ('"golden.npz"', '"encoder.onnx"', "stands twice"),
        ('"low": 0.0', '"low": 1.5', r"the range of x must not have low above high, got 1\.5 and 1\.0"),
    ],
)
def test_what_no_manifest_says_is_refused(copied: Path, manifest: Json, *, old: str, new: str, message: str) -> None:
    text = json.dumps(manifest | {"training": manifest["training"] or {}})
    assert old in text
    refused(copied, text.replace(old, new, 1), message)


def test_both_roles_are_needed_in_fp32(copied: Path, manifest: Json) -> None:
    for graph in manifest["graphs"]:
        if graph["role"] == "decoder":
            graph["precision"] = "int8"
    refused(copied, json.dumps(manifest), "encoder and decoder in fp32 are required")
    refused(copied, json.dumps(manifest | {"graphs": manifest["graphs"][:1]}), "not a valid manifest")


def test_a_manifest_is_strict_utf8_of_at_most_a_mebibyte(copied: Path, manifest: Json) -> None:
    text = json.dumps(manifest)
    refused(copied, b"", "truncated")
    refused(copied, "\ufeff" + text)
    refused(copied, text.encode("utf-16"))
    refused(copied, text.replace('"digits"', '"d\u00edgits"').encode("latin-1"))
    refused(copied, text.replace('"versions": {', '"versions": {"a": "\ud800", '))
    refused(copied, " " * (1 << 20) + text, "a manifest has at most 1048576 bytes, got")
    (copied / "manifest.json").write_text(" " * ((1 << 20) - len(text)) + text)
    with reparam.load(copied, device="cpu") as vae:  # just small enough
        assert vae.info().name == manifest["name"]


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
def test_nesting_of_any_depth_is_refused_and_not_a_crash(copied: Path, manifest: Json, opening: str) -> None:
    deep = opening * 100_000
    refused(copied, deep)
    refused(copied, json.dumps(manifest | {"training": None})[:-1] + ', "versions": ' + deep)
    refused(copied, json.dumps(manifest).replace('"options": {', '"options": {"a": ' + deep, 1))


@pytest.mark.parametrize("key", ["new\nline", "\x1b[31mred", "back\x08space", "\u202eturned", "\x00"])
def test_a_message_shows_text_from_a_file_in_one_printable_line(copied: Path, manifest: Json, key: str) -> None:
    error = refused(copied, json.dumps(manifest | {key: 1}), "unknown field")
    assert str(error).isprintable()


@given(st.data())
def test_no_mutation_of_the_bytes_raises_anything_but_a_bundle_error(tiny: Maker, scratch: Any, data: Any) -> None:
    folder = tiny(scratch())
    text = bytearray((folder / "manifest.json").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        stop = data.draw(st.integers(start, min(len(text), start + 12)))
        text[start:stop] = data.draw(st.binary(max_size=6) | st.sampled_from(b'{ } [ ] , : " 1 e9 -0 null'.split()))
    (folder / "manifest.json").write_bytes(text)
    try:
        reparam.load(folder, device="cpu", threads=1).close()
    except BundleError as error:
        message = str(error)
    else:
        message = "still the same graphs"
    assert message.isprintable()


@given(st.data())
def test_no_mutation_of_a_value_raises_anything_but_a_bundle_error(tiny: Maker, scratch: Any, data: Any) -> None:
    folder = tiny(scratch())
    manifest = json.loads((folder / "manifest.json").read_bytes())
    place = data.draw(st.sampled_from(list(objects(manifest))))
    key = data.draw(st.sampled_from(sorted(place)))
    leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
    place[key] = data.draw(st.recursive(leaves, lambda inner: st.lists(inner, max_size=3), max_leaves=6))
    (folder / "manifest.json").write_text(json.dumps(manifest).replace("Infinity", "1e999"))
    try:
        reparam.load(folder, device="cpu", threads=1).close()
    except BundleError as error:
        message = str(error)
    else:
        message = "a value that changes nothing"
    assert message.isprintable()
