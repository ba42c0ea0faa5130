"""What a variant costs and gains, in words: for the model card and for one line of the command."""

from reparam.bundle.manifest import Manifest, Variant


def gain(variant: Variant) -> float:
    """How many times as fast as fp32 a row goes through both graphs, at the largest batch that was timed."""
    batch = largest_batch(variant)
    last = [speed for speed in variant.speeds if speed.batch == batch]
    return sum(1 / speed.fp32 for speed in last) / sum(1 / speed.variant for speed in last)


def largest_batch(variant: Variant) -> int:
    """The largest batch that was timed."""
    return max(speed.batch for speed in variant.speeds)


def variant_line(variant: Variant) -> str:
    """One line for the terminal."""
    worst = max(error.relative for error in variant.worst.values())
    parts = [
        f"{variant.precision}: {gain(variant):.2f} times as fast at batch {largest_batch(variant)} on one thread",
        f"worst error {worst:.2%} of the largest value",
    ]
    if variant.negative_elbo is not None and variant.negative_elbo_fp32 is not None:
        change = variant.negative_elbo - variant.negative_elbo_fp32
        parts.append(f"negative ELBO {change:+.4f} nats a row from {variant.negative_elbo_fp32:.4f}")
    return "; ".join(parts)


def variant_section(variant: Variant, manifest: Manifest) -> str:
    """A section of the model card."""
    rows = f"{variant.rows:,} rows of data" if variant.row_source == "data" else f"{variant.rows:,} rows of keyed noise"
    sizes = {
        precision: sum(graph.bytes for graph in manifest.graphs if graph.precision == precision)
        for precision in ("fp32", variant.precision)
    }
    told = [f"{sizes[variant.precision]:,} bytes, fp32 {sizes['fp32']:,}."]
    if variant.fp32_nodes:
        told.append(f"{variant.fp32_nodes} nodes stay float32: half precision cannot hold their values.")
    if variant.negative_elbo is not None and variant.negative_elbo_fp32 is not None:
        change = variant.negative_elbo - variant.negative_elbo_fp32
        told.append(f"Negative ELBO {variant.negative_elbo:.4f} nats a row, {change:+.4f} against fp32.")
    errors = "\n".join(
        f"| `{name}` | {worst.absolute:.2e} | {worst.relative:.2e} |" for name, worst in variant.worst.items()
    )
    speeds = "\n".join(
        f"| {speed.role} | {speed.batch} | {speed.fp32:,.0f} | {speed.variant:,.0f} | "
        f"{speed.variant / speed.fp32:.2f} |"
        for speed in variant.speeds
    )
    return f"""## {variant.precision} against fp32

Over {rows}, in one run, by onnxruntime {variant.onnxruntime} ({variant.provider}), one thread. {" ".join(told)}

| output | worst absolute error | relative to the largest value |
| --- | --- | --- |
{errors}

| graph | batch | fp32, rows a second | {variant.precision} | times |
| --- | --- | --- | --- | --- |
{speeds}"""
