"""Folders that diffusers' save_pretrained wrote, read from this disk alone and without pickle."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (diffusers types its modules as their base class)

import contextlib
import json
import re
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

from reparam.errors import CheckpointError, MissingExtra
from reparam.files.regular import read_regular
from reparam_export.adapters.paths import MOST_CONFIG
from reparam_export.adapters.reasons import reason

_CONFIG: Final = "config.json"
_PIPELINE: Final = "model_index.json"
_WEIGHTS: Final = re.compile(r"diffusion_pytorch_model(?:\.(?P<variant>[^.-]+))?(?:-\d+-of-\d+)?\.safetensors")


def model_folder(folder: Path) -> Path | None:
    """The folder of the autoencoder: the folder itself, or `vae` in that of a pipeline; None where there is neither.

    Raises:
        CheckpointError: a pipeline without a `vae`.
    """
    if (folder / _PIPELINE).is_file():
        if not (folder / "vae" / _CONFIG).is_file():
            raise CheckpointError(f"{folder}: a pipeline of diffusers without a folder vae; give a model's own folder")
        return folder / "vae"
    return folder if class_name(folder) else None


def class_name(folder: Path) -> str:
    """The class of diffusers that config.json names; empty where it names none."""
    try:
        config: Any = json.loads(read_regular(folder / _CONFIG, most=MOST_CONFIG))
    except (OSError, ValueError, RecursionError):
        return ""
    name = config.get("_class_name") if isinstance(config, dict) else None
    return name if isinstance(name, str) else ""


def read_folder(folder: Path, kind: str) -> Any:
    """The model of a folder, in float32 on the CPU.

    Args:
        folder: with config.json and .safetensors files; weights of another variant such as fp16 are found too.
        kind: a class of diffusers.

    Raises:
        CheckpointError: no .safetensors, a file that cannot be read, or weights that are not those of the model.
        MissingExtra: diffusers is not installed.
    """
    try:
        import diffusers
    except ModuleNotFoundError as error:
        raise MissingExtra(f"{folder}: a model of diffusers needs {error.name}; pip install diffusers") from None
    variant = _variant(folder)
    with _quiet():
        try:
            model, found = getattr(diffusers, kind).from_pretrained(
                str(folder),
                local_files_only=True,
                use_safetensors=True,
                variant=variant,
                low_cpu_mem_usage=False,
                output_loading_info=True,
            )
        except Exception as error:  # diffusers, safetensors and torch raise errors of many unrelated classes
            raise CheckpointError(f"{folder}: diffusers cannot read the model: {reason(error)}") from error
    missing = [*found["missing_keys"], *found["mismatched_keys"]]
    if missing or found["unexpected_keys"]:
        told = f"{missing[0]} is missing" if missing else f"{found['unexpected_keys'][0]} is none of its weights"
        raise CheckpointError(f"{folder}: the weights are not those of its {kind}: {told}; save the model again")
    return model.float()


def _variant(folder: Path) -> str | None:
    """What stands between the name of the weights and .safetensors, such as fp16; the plain files are preferred.

    Raises:
        CheckpointError: no weights in .safetensors.
    """
    found = [match["variant"] for path in sorted(folder.iterdir()) if (match := _WEIGHTS.fullmatch(path.name))]
    if not found:
        raise CheckpointError(
            f"{folder}: no diffusion_pytorch_model.safetensors, and pickled weights are not read; save the model again "
            "with save_pretrained(..., safe_serialization=True)"
        )
    return None if None in found else found[0]


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Keeps the notes of diffusers on its own loading off the terminal; its errors come through."""
    from diffusers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
