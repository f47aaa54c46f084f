"""Log-normal shadowing that is correlated in space at both ends of a link."""

from __future__ import annotations

import numpy as np

from dmoe_gym.channel.path_loss import pairwise_distances

WAVES = 128


class ShadowingField:
    """A random field over pairs of places, fixed for an episode: a node that comes back finds its shadowing again.

    Between two moments in which one end of a link has moved by d1 and the other by d2 the correlation is
    exp(-(d1 + d2) / d_decorrelation): Gudmundson's exponential model (Electronics Letters, 1991) for each end, the
    two ends acting independently and equally, as the abstract of Wang, Tameh and Nix, "Joint Shadowing Process in
    Urban Peer-to-Peer Radio Channels" (IEEE Transactions on Vehicular Technology, 2008), reports for links whose ends
    both move. Links that share a node are correlated likewise where their other nodes are close.

    The field is a sum of plane waves S(x, y) = W^(-1/2) sum_w a_w cos(k_w x + q_w y) + b_w sin(k_w x + q_w y) with
    normal a_w, b_w and bivariate Cauchy wave vectors k_w, q_w, the law whose characteristic function is
    exp(-|x| / d_decorrelation); a link's value is (S(x_i, x_j) + S(x_j, x_i)) / sqrt(2 (1 + e_ij^2)) with
    e_ij = exp(-|x_i - x_j| / d_decorrelation), hence the same in both directions. Over episodes

        correlation of link ij with link kl = (e_ik e_jl + e_il e_jk) / sqrt((1 + e_ij^2) (1 + e_kl^2))

    exactly; the values are normal up to terms of the order 1 / W, W = 128 (this project's choice of generator).
    """

    def __init__(self, batch: int, decorrelation_distance_m: float) -> None:
        self._decorrelation_distance_m = decorrelation_distance_m
        # (environment, end of the link, coordinate, wave)
        self._wave_vectors = np.zeros((batch, 2, 2, WAVES))
        self._coefficients = np.zeros((batch, WAVES), complex)

    def start(self, row: int, generator: np.random.Generator) -> None:
        """Draw the field of a new episode."""
        normal = generator.standard_normal((8, WAVES))
        scale = np.abs(normal[4:6, None]) * self._decorrelation_distance_m
        self._wave_vectors[row] = normal[:4].reshape(2, 2, WAVES) / scale
        self._coefficients[row] = (normal[6] - 1j * normal[7]) / np.sqrt(WAVES)

    def values(self, row: int, positions: np.ndarray) -> np.ndarray:
        """The field on all links of nodes at `positions` (nodes, 2) [m]: (nodes, nodes), symmetric, unit variance."""
        wave_vectors = self._wave_vectors[row]
        # the phase at the link's one end and at its other end, (2, nodes, waves)
        phases = positions[:, 0, None] * wave_vectors[:, None, 0] + positions[:, 1, None] * wave_vectors[:, None, 1]
        first, second = np.exp(1j * phases)
        field = np.einsum("iw,jw->ij", first * self._coefficients[row], second).real
        closeness = np.exp(-pairwise_distances(positions) / self._decorrelation_distance_m)
        return (field + field.T) / np.sqrt(2 * (1 + closeness**2))
