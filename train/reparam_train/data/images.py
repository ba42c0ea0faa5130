"""A folder of images: decoded once into an array in the user's cache, read from there ever after."""

import contextlib
import hashlib
import json
import math
import os
import re
import warnings
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from reparam.errors import InputError, InputNotFound, OutputError
from reparam.files import npy
from reparam.files.atomic import atomic_file
from reparam.files.reasons import as_output_error
from reparam.files.regular import open_regular
from reparam_train.data.arrays import Arrays
from reparam_train.data.paging import held
from reparam_train.extras import need

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMATS: Final = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF",
}  # fmt: skip
_GREY: Final = ("1", "L", "LA")
_COLOUR: Final = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
_DEEP: Final = re.compile(";16[BLN]")  # in Pillow's name of how values are stored
_VERSION: Final = 1  # of what a cached array holds

Shape = tuple[int, int, int]  # channels, height, width


def holds_images(folder: Path) -> bool:
    """Whether there is an image anywhere below the folder."""
    return next(_found(folder), None) is not None


def read(folder: Path) -> Arrays:
    """The images of a folder and of the folders in it, by relative name, uint8 [n, channels, height, width].

    Args:
        folder: holds .png, .jpg, .jpeg, .bmp, .webp, .tif or .tiff files of one size with 8 bits a channel. They are
            grey if all of them are, else RGB; transparency is dropped. Where it has the folders `train` and `test`,
            these are the splits, and nothing else in it is read.

    Returns:
        Arrays in the cache, large ones read row by row: $REPARAM_CACHE, or reparam in $XDG_CACHE_HOME, or
        ~/.cache/reparam. Their names are hashes of the folder's path and the images' names, sizes and times, so a
        changed folder is decoded again.

    Raises:
        MissingExtra: Pillow is not installed.
        InputNotFound: no images.
        InputError: an image that is broken, of another size than the first, too large, with more than 8 bits, or one of
            several in a file; named.
        OutputError: the cache cannot be written.
    """
    need("PIL", what="a folder of images", extra="images")
    parts = [folder / "train", folder / "test"]
    if not all(part.is_dir() for part in parts):
        parts = [folder]
    files = [sorted(_found(part), key=lambda file: file.as_posix()) for part in parts]
    for part, found in zip(parts, files, strict=True):
        if not found:
            raise InputNotFound(f"{part}: no images in this folder; give {', '.join(_FORMATS)} files")
    names = _cache_files(folder, files)
    with as_output_error(names[0].parent):
        cached = all(name.is_file() for name in names)
    if not cached:
        shape = _common_shape([file for found in files for file in found])
        for name, found in zip(names, files, strict=True):
            _decode(name, found, shape)
    arrays = [held(npy.read(name)) for name in names]
    return Arrays(arrays[0], arrays[1] if len(arrays) > 1 else None)


def _found(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """Image files below a folder, links followed and hidden ones left out, in no order; `above` are folders around."""
    here = os.path.realpath(folder)
    if here in above:  # a link to a folder that it lies in
        return
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror or error}); make it readable or move it") from None
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _found(folder / entry.name, above | {here})
        elif Path(entry.name).suffix.lower() in _FORMATS:
            yield folder / entry.name


def _cache_files(folder: Path, files: list[list[Path]]) -> list[Path]:
    """Where the array of each split lies; all files are in each name, as one coloured image makes all of them RGB.

    The path and the time of the last change of any kind tell archives apart whose files have one name, size and time.
    """
    facts = [[(file.relative_to(folder).as_posix(), *_size_and_times(file)) for file in found] for found in files]
    key = hashlib.sha256(json.dumps([_VERSION, str(folder.resolve()), facts]).encode()).hexdigest()
    return [_cache_folder() / f"images-{key[:32]}-{number}.npy" for number in range(len(files))]


def _size_and_times(file: Path) -> tuple[int, int, int]:
    try:
        found = file.stat()
    except OSError as error:  # a link to nowhere
        raise InputError(f"{file}: cannot be read ({error.strerror or error}); restore or remove it") from None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _cache_folder() -> Path:
    own, shared = os.environ.get("REPARAM_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own)
    try:
        return (Path(shared) if shared else Path.home() / ".cache") / "reparam"
    except RuntimeError:  # no HOME, and no entry of this user
        raise OutputError(
            "REPARAM_CACHE: there is no home folder to keep decoded images in; set REPARAM_CACHE"
        ) from None


def _common_shape(files: list[Path]) -> Shape:
    """Of all images, from their headers alone."""
    first, grey = None, True
    for file in _shown(files, "reading headers"):
        with _opened(file) as image:
            size, mode, deep = image.size, image.mode, _DEEP.search(str(getattr(image, "tile", "")))
            frames = _frames(file, image)
        if mode not in _GREY and mode not in _COLOUR:
            raise InputError(f"{file}: must have 8 bits a channel, got mode {mode}; convert it")
        if deep:  # Pillow would drop the lower half of each value
            raise InputError(f"{file}: must have 8 bits a channel, got 16; convert it")
        if frames > 1:
            raise InputError(f"{file}: must hold one image, got {frames}; write each to a file of its own")
        grey = grey and mode in _GREY
        first = first or size
        if size != first:
            raise InputError(
                f"{file}: images must have one size, {first[0]} x {first[1]} as {files[0].name}, "
                f"got {size[0]} x {size[1]}; resize or remove it"
            )
    assert first is not None  # there is a file at least
    return (1 if grey else 3, first[1], first[0])


def _frames(file: Path, image: "Image") -> int:
    """How many images a file holds; a camera's preview behind its photo (MPO) is none."""
    try:
        return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    except Exception as error:  # counting reads on, and a broken file makes Pillow raise whatever it stumbles over
        raise InputError(f"{file}: cannot be read ({error}); restore or remove it") from None


def _decode(name: Path, files: list[Path], shape: Shape) -> None:
    """Writes the images as one .npy file, whole or not at all."""
    with as_output_error(name.parent):
        name.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(name, nbytes=len(files) * math.prod(shape)) as out:
        np.lib.format.write_array_header_1_0(
            out, {"descr": "|u1", "fortran_order": False, "shape": (len(files), *shape)}
        )
        for file in _shown(files, "decoding"):
            out.write(_pixels(file, shape).tobytes())


def _pixels(file: Path, shape: Shape) -> npt.NDArray[np.uint8]:
    """One image, uint8 [channels, height, width]."""
    with _opened(file) as image:
        try:
            pixels = np.asarray(image.convert("L" if shape[0] == 1 else "RGB"), np.uint8)
        except Exception as error:  # a broken file makes Pillow's decoders raise whatever they stumble over
            raise InputError(f"{file}: cannot be decoded ({error}); restore or remove it") from None
    found = pixels.reshape(*shape[1:], shape[0])  # [height, width, channels]
    return np.moveaxis(found, 2, 0)


@contextlib.contextmanager
def _opened(file: Path) -> Generator["Image"]:
    """An image whose header was read; no larger than Pillow thinks safe."""
    from PIL import Image

    with contextlib.ExitStack() as stack:
        try:
            stream = stack.enter_context(open_regular(file))
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                image = stack.enter_context(Image.open(stream, formats=[_FORMATS[file.suffix.lower()]]))
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            most = f"{Image.MAX_IMAGE_PIXELS:,}"
            raise InputError(f"{file}: must have at most {most} pixels; resize or remove it") from None
        except OSError as error:  # UnidentifiedImageError is one, without strerror
            kind = _FORMATS[file.suffix.lower()]
            reason = error.strerror or (f"not a {kind} image" if "cannot identify" in str(error) else error)
            raise InputError(f"{file}: cannot be read ({reason}); restore or remove it") from None
        except Exception as error:  # a broken file makes Pillow raise whatever it stumbles over
            raise InputError(f"{file}: cannot be read ({error}); restore or remove it") from None
        yield image


def _shown(files: list[Path], what: str) -> Any:
    """The files, with a progress bar on stderr where that is a terminal and it takes more than a second."""
    from tqdm import tqdm

    return tqdm(files, desc=what, unit="image", delay=1.0, disable=None, leave=False)
