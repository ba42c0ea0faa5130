"""How unusual a score is among scores of rows that are known to be usual."""

import numpy as np
import numpy.typing as npt

from reparam.errors import InputError


def p_values(scores: npt.ArrayLike, reference: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """How often rows like those of the reference would score as high: (1 + how many of them do) / (1 + all of them).

    Where a row is drawn as the reference rows were, and they were not used in training, P(p <= a) is at most a for
    every a, whatever the model: so a row whose p is 0.01 would be a false alarm once in a hundred such rows.

    Args:
        scores: [n], higher for more unusual rows, as `VAE.anomaly` gives them.
        reference: [m], scores of rows that are known to be usual, at least one.

    Returns:
        float64 [n], each in (0, 1].

    Raises:
        InputError: arrays of other shapes, NaN among them, or no reference.

    Source:
        Bates, Candes, Lei, Romano and Sesia, "Testing for outliers with conformal p-values" (2023).

    Examples:
        >>> p_values([0.5, 9.0], reference=[1.0, 2.0, 3.0]).tolist()
        [1.0, 0.25]
    """
    found = {"scores": np.asarray(scores, np.float64), "reference": np.asarray(reference, np.float64)}
    for name, values in found.items():
        if values.ndim != 1 or np.isnan(values).any():
            raise InputError(f"{name}: must be numbers with one axis and no NaN, got {list(values.shape)}")
    known = np.sort(found["reference"])
    if not len(known):
        raise InputError("reference: must have at least one score, got none")
    as_high = len(known) - np.searchsorted(known, found["scores"], side="left")
    return (1 + as_high) / (1 + len(known))
