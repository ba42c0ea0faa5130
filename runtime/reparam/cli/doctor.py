"""`reparam doctor`: what this machine can run, and why not the rest."""

import platform
import sys
from importlib import metadata
from typing import cast

import click

from reparam.cli.common import print_json, table


@click.command(short_help="What this machine can run, and why not the rest.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(*, as_json: bool) -> None:
    """Explain this machine: which onnxruntime wheel, which libraries, which providers really start, threads.

    \b
    reparam doctor
    """
    from reparam.engine import threads, wheel
    from reparam.engine.device import Device, missing_for_cuda
    from reparam.engine.libraries import CUDA_LIBRARIES
    from reparam.engine.probe import probe
    from reparam.errors import MissingExtra

    document: dict[str, object] = {
        "reparam": metadata.version("reparam"),
        "python": f"{platform.python_version()} on {sys.platform} {platform.machine()}",
        "wheels": wheel.installed_wheels(),
        "threads": {
            "available": threads.available_threads(),
            "affinity": threads.affinity(),
            "quota": threads.cgroup_quota(),
        },
        "extras": {name: _version(name) for name in ("torch", "onnx", "matplotlib")},
    }
    try:
        document["providers"] = list(wheel.import_onnxruntime().get_available_providers())
        missing = missing_for_cuda()
        document["cuda_missing"] = missing
        document["cuda_needs"] = list(CUDA_LIBRARIES)
        document["starts"] = {str(device): probe(device) or "yes" for device in (Device("cpu"), Device("cuda"))}
    except MissingExtra as error:
        document["onnxruntime"] = str(error)
    if as_json:
        print_json(document)
        return
    click.echo(table([(key.replace("_", " "), _told(value)) for key, value in document.items()]))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _told(value: object) -> str:
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value).items()
        return "; ".join(f"{key}: {'none' if item is None else item}" for key, item in pairs) or "none"
    if isinstance(value, list):
        return ", ".join(cast("list[str]", value)) or "nothing"
    return str(value)
