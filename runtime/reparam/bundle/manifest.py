"""The manifest of a bundle: what its graphs mean, strict JSON in frozen structs.

A key that is not named here is refused, so that a typing error or a newer format is never half understood.
"""

from typing import Annotated, Final, Literal, Self, get_args

import msgspec
from msgspec import Meta

from reparam.laws import Law

MANIFEST_NAME: Final = "manifest.json"
MAX_MANIFEST_BYTES: Final = 1 << 20

Role = Literal["encoder", "decoder"]
Trust = Literal["strict", "exporter"]
TRUSTS: Final[tuple[Trust, ...]] = get_args(Trust)
Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)

Size = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Shape = Annotated[tuple[Size, ...], Meta(min_length=1, max_length=7)]
FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Bytes = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Plain = str | int | float | bool | None
Axes = tuple[int | str, ...]  # sizes, and names of dynamic axes


class Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of x: its shape without the batch, its layout, and the range its values had in training.

    A raw bundle has dtype uint8 and layout channels_last: its graphs take and give images as programs hold them, and
    0 to 255 stands for low to high. Where factors are given, height and width are dynamic: each side may be any
    multiple of its factor, which is how many times the latent's side it is; shape is then the size of training.
    """

    shape: Shape
    dtype: Literal["float32", "uint8"] = "float32"
    layout: Literal["features", "channels_first", "channels_last"]
    low: float | None = None
    high: float | None = None
    factors: tuple[Size, Size] | None = None


class Latent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of z: its shape, its prior, and the law of the standardised noise (None: no posterior).

    Latent diffusion models work on (z - shift_factor) * scaling_factor; the graphs give and take z itself.
    """

    shape: Shape
    prior: Literal["normal"] = "normal"
    noise: Law | None = "normal"
    scaling_factor: Annotated[float, Meta(gt=0)] | None = None
    shift_factor: float | None = None


def sized(rows: Input, latent: Latent, size: tuple[int, int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of one row of x and of z for images of this height and width; only where they are dynamic."""
    assert rows.factors is not None
    sides = tuple(side // factor for side, factor in zip(size, rows.factors, strict=True))
    shape = (*size, rows.shape[2]) if rows.layout == "channels_last" else (rows.shape[0], *size)
    return shape, (latent.shape[0], *sides)


class Bernoulli(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="bernoulli", tag_field="kind"
):
    """p(x given z) = Bernoulli of the decoder's `logits`."""


class Gaussian(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="gaussian", tag_field="kind"):
    """p(x given z) = Normal(x_hat, std^2) with one std for all dimensions, in the data's units.

    Where std is None the decoder gives `x_logvar`, the logarithm of the variance of every dimension.
    """

    std: Annotated[float, Meta(gt=0)] | None


class Laplace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="laplace", tag_field="kind"):
    """p(x given z) = Laplace(x_hat, scale), exp(-|x - x_hat| / scale) / (2 scale), one scale for all dimensions.

    In the data's units. Where scale is None the decoder gives `x_logscale`, its logarithm for every dimension.
    """

    scale: Annotated[float, Meta(gt=0)] | None


class Column(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One column of a table: which values of a row are its own, its law, and of a gaussian one its range.

    "gaussian": Normal(x_hat, std^2); "bernoulli": of its logit; "categorical": softmax of its logits, a one-hot block.
    shift and scale are about where the values of a gaussian column lay in training, and how far they spread.
    """

    name: str
    kind: Literal["gaussian", "bernoulli", "categorical"]
    start: Annotated[int, Meta(ge=0)]
    stop: Size
    categories: tuple[str, ...] | None = None
    std: Annotated[float, Meta(gt=0)] | None = None
    shift: float = 0.0
    scale: Annotated[float, Meta(gt=0)] = 1.0


class Mixed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="mixed", tag_field="kind"):
    """p(x given z) = the product of the columns' laws, of the decoder's `logits` (x_hat itself in gaussian columns)."""

    columns: Annotated[tuple[Column, ...], Meta(min_length=1)]


Likelihood = Bernoulli | Gaussian | Laplace | Mixed


def likelihood_outputs(likelihood: Likelihood | None) -> tuple[str, ...]:
    """Names of the decoder's outputs: x_hat, then what the likelihood, where one is known, is scored with."""
    match likelihood:
        case Bernoulli() | Mixed():
            return ("x_hat", "logits")
        case Gaussian(std=None):
            return ("x_hat", "x_logvar")
        case Laplace(scale=None):
            return ("x_hat", "x_logscale")
        case _:
            return ("x_hat",)


class Graph(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ONNX file and the sha256 of its bytes; shape_nodes read a size at run time, none where sizes are fixed."""

    role: Role
    file: FileName
    precision: Precision
    opset: Annotated[int, Meta(ge=1)]
    ir_version: Annotated[int, Meta(ge=1)]
    shape_nodes: Annotated[int, Meta(ge=0)] = 0
    bytes: Bytes
    sha256: Sha256


class Golden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """golden.npz: x, eps and every output of the source model at some batch sizes, and heights and widths of x.

    Without sizes x has the manifest's own; with them there is each batch at each size.
    """

    file: FileName
    bytes: Bytes
    sha256: Sha256
    source: Literal["pytorch", "onnx"]
    batches: Annotated[tuple[Size, ...], Meta(min_length=1, max_length=8)]
    sizes: Annotated[tuple[tuple[Size, Size], ...], Meta(min_length=1, max_length=8)] | None = None


class Bound(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Largest error allowed: |a - b| <= absolute + relative * |b| + largest * max |b|, the maximum over the output."""

    absolute: Annotated[float, Meta(ge=0)]
    relative: Annotated[float, Meta(ge=0)]
    largest: Annotated[float, Meta(ge=0)] = 0.0


class Worst(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Worst error seen on one output: absolute, and relative to the largest magnitude of that output."""

    absolute: float
    relative: float


class Verification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the export measured of one precision against the source model."""

    precision: Precision
    provider: str
    onnxruntime: str
    batches: tuple[Size, ...]
    sizes: tuple[tuple[Size, Size], ...] | None = None
    bound: Bound
    worst: dict[str, Worst]


class Speed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows a second of one graph, the variant's and fp32's, measured in turn in one run on one thread."""

    role: Role
    batch: Size
    fp32: Annotated[float, Meta(gt=0)]
    variant: Annotated[float, Meta(gt=0)]


class Variant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a precision other than fp32 costs and gains against fp32, on the machine of the export.

    Rows are those of a data set, or keyed noise where none was given. fp32_nodes stayed float32 for the size of their
    values. The negative ELBO is the mean over the rows in nats, at one draw of seed 0; None where no likelihood is
    known or the rows are noise.
    """

    precision: Precision
    rows: Size
    row_source: Literal["data", "keyed"]
    fp32_nodes: Annotated[int, Meta(ge=0)] = 0
    worst: dict[str, Worst]
    negative_elbo_fp32: float | None = None
    negative_elbo: float | None = None
    provider: str
    onnxruntime: str
    speeds: tuple[Speed, ...]


class Data(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model was trained on; sha256 is of the training rows."""

    name: str
    sha256: Sha256
    train_rows: int
    test_rows: int


class Training(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model was trained: data, objective, metrics in nats per row, seed, options, versions."""

    data: Data
    objective: str
    metrics: dict[str, float]
    seed: int
    options: dict[str, Plain | list[Plain]]
    versions: dict[str, str]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a reader must know of a bundle before it runs a graph.

    Where trust is there, a graph holds an operator off the gate's list, and it loads with trust="exporter" alone.
    """

    format: Literal["reparam-bundle"] = "reparam-bundle"
    version: Literal[1] = 1
    name: FileName
    id: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
    deterministic: bool
    input: Input
    latent: Latent
    likelihood: Likelihood | None
    graphs: Annotated[tuple[Graph, ...], Meta(min_length=2, max_length=16)]
    golden: Golden
    verification: tuple[Verification, ...]
    variants: tuple[Variant, ...] = ()
    trust: Literal["exporter"] | msgspec.UnsetType = msgspec.UNSET
    training: Training | None = None
    versions: dict[str, str]

    def graph(self, role: Role, precision: Precision) -> Graph | None:
        """The file of a role in a precision, or None."""
        return next((graph for graph in self.graphs if (graph.role, graph.precision) == (role, precision)), None)

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Precisions in which both graphs are there."""
        found: dict[Precision, None] = dict.fromkeys(graph.precision for graph in self.graphs)
        return tuple(p for p in found if self.graph("encoder", p) and self.graph("decoder", p))

    def at(self, size: tuple[int, int]) -> Self:
        """The manifest as it would be for images of this height and width; only where they are dynamic."""
        shape, latent = sized(self.input, self.latent, size)
        return msgspec.structs.replace(
            self,
            input=msgspec.structs.replace(self.input, shape=shape),
            latent=msgspec.structs.replace(self.latent, shape=latent),
        )

    def dtype(self, name: str) -> Literal["float32", "uint8"]:
        """Of an input or output of the graphs."""
        return self.input.dtype if name in ("x", "x_hat") else "float32"

    @property
    def input_axes(self) -> Axes:
        """One row of x as the graphs declare it: sizes, and "height" and "width" where they are dynamic."""
        if self.input.factors is None:
            return self.input.shape
        if self.input.layout == "channels_last":
            return ("height", "width", self.input.shape[2])
        return (self.input.shape[0], "height", "width")

    @property
    def latent_axes(self) -> Axes:
        """One row of z as the graphs declare it."""
        if self.input.factors is None:
            return self.latent.shape
        return (self.latent.shape[0], "latent_height", "latent_width")

    @property
    def encoder_inputs(self) -> dict[str, tuple[int, ...]]:
        """Names and row shapes of the encoder's inputs, in order."""
        eps = {} if self.deterministic else {"eps": self.latent.shape}
        return {"x": self.input.shape, **eps}

    @property
    def encoder_outputs(self) -> dict[str, tuple[int, ...]]:
        """Names and row shapes of the encoder's outputs, in order."""
        names = ("z",) if self.deterministic else ("mean", "logvar", "z")
        return dict.fromkeys(names, self.latent.shape)

    @property
    def decoder_outputs(self) -> dict[str, tuple[int, ...]]:
        """Names and row shapes of the decoder's outputs, in order: x_hat, then what the likelihood is scored with."""
        return dict.fromkeys(likelihood_outputs(self.likelihood), self.input.shape)
