"""The plain autoencoder: reconstruction alone, with no noise and no regulariser.

    loss = mean over rows of -log p(x | z = e(x))

G. E. Hinton and R. R. Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks", Science 2006. It has
no posterior, so there is no rate and no ELBO: the distortion is all that can be reported.
"""

from torch import Tensor

from reparam_train.objectives.objective import Objective


class Reconstruction(Objective):
    """The distortion of the one z that the encoder gives."""

    draws = 0

    def forward(self, x: Tensor, eps: Tensor, weight: Tensor) -> Tensor:  # noqa: ARG002  there is no noise
        """The loss of a batch."""
        outputs = self.model.decode(self.model.code(x))
        loss: Tensor = -self.model.log_prob(x, outputs).mean()
        return loss
