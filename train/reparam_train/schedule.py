"""Step sizes as a function of the step alone, so that a resumed run needs no memory of them.

- constant: lr.
- cosine: lr (1 + cos(pi s / S)) / 2 in step s of S, from lr to 0: I. Loshchilov and F. Hutter, "SGDR: Stochastic
  Gradient Descent with Warm Restarts", ICLR 2017, equation 5, without restarts.
- step: lr d^floor(e / E) in epoch e, for a decay d every E epochs.
"""

import math

from reparam_train.options import Options


def step_size(options: Options, *, step: int, steps_per_epoch: int) -> float:
    """The optimiser's step size in this step, counted from 0 over the whole run.

    Examples:
        >>> options = Options(lr=1.0, epochs=10, schedule="cosine")
        >>> [round(step_size(options, step=step, steps_per_epoch=4), 3) for step in (0, 20, 39)]
        [1.0, 0.5, 0.002]
    """
    match options.schedule:
        case "constant":
            return options.lr
        case "cosine":
            return options.lr * (1 + math.cos(math.pi * step / (options.epochs * steps_per_epoch))) / 2
        case "step":
            return float(options.lr * options.lr_decay ** (step // steps_per_epoch // options.lr_decay_every))
