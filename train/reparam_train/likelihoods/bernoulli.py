"""Independent Bernoulli dimensions."""

from torch import Tensor
from torch.nn import functional

from reparam_train.likelihoods.likelihood import Likelihood, Outputs


class Bernoulli(Likelihood):
    """log p = sum(x l - log(1 + exp(l))), l the logits; x_hat = sigmoid(l).

    Grey values x in [0, 1] are scored by the same formula, as in most of the literature; it is then a cross-entropy
    and not the logarithm of a density (Loaiza-Ganem and Cunningham, "The continuous Bernoulli", NeurIPS 2019).

    Source:
        Kingma and Welling 2014, appendix C.1, in the form max(l, 0) - x l + log(1 + exp(-|l|)) that cannot overflow.
    """

    def outputs(self, raw: Tensor) -> Outputs:
        """x_hat (probabilities) and logits, both [batch, *input]."""
        return {"x_hat": raw.sigmoid(), "logits": raw}

    def raw_at(self, mean: Tensor) -> Tensor:
        """The logits of a mean, itself kept within [0.001, 0.999]; [*input], both."""
        return mean.logit(1e-3)

    def log_prob(self, x: Tensor, outputs: Outputs) -> Tensor:
        """The value of log p(x|z) in nats per row, [batch]; x in [0, 1]."""
        entropy = functional.binary_cross_entropy_with_logits(outputs["logits"], x, reduction="none")  # [batch, *input]
        return -entropy.flatten(1).sum(1)  # [batch]

    def constants(self) -> dict[str, float]:
        """None: the logits say all."""
        return {}
