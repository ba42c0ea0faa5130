"""The validations of a run for TensorBoard, in RUN/tensorboard. Needs the extra `tensorboard`."""

from importlib.util import find_spec
from types import TracebackType
from typing import Any, Final, Self

from reparam.errors import MissingExtra
from reparam_train.observers import Validation

FOLDER: Final = "tensorboard"


class TensorBoard:
    """An observer that logs each metric by step; a context manager, which closes the file.

    The file is opened at the first validation. TensorBoard forgets the points from that step on which an earlier file
    holds, so a run that goes on from its checkpoint has each point once.

    Raises:
        MissingExtra: tensorboard is not installed.
    """

    def __init__(self) -> None:
        if find_spec("tensorboard") is None:
            raise MissingExtra("--tensorboard needs tensorboard; pip install 'reparam[tensorboard]'")
        self._writer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __call__(self, now: Validation, /) -> None:
        """Logs test_elbo, test_rate and test_distortion as test/elbo and so on, at the step."""
        if self._writer is None:
            from torch.utils.tensorboard.writer import SummaryWriter

            self._writer = SummaryWriter(str(now.folder / FOLDER), purge_step=now.step)
        for name, value in now.metrics.items():
            if name not in ("epoch", "step"):
                self._writer.add_scalar(name.replace("_", "/", 1), value, now.step)
        self._writer.flush()
