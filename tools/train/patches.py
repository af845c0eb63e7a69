"""A loss for every patch of a face: deep supervision for networks in training.

One label a face says little about where its traces are. A real face and its fake, cut by one
square, show where: wherever they differ. So small heads, which are thrown away after training, say
"real" or "fake" at every place of the later feature maps, and what they say counts as much as the
two faces differ there. Patches as a whole task: Chai et al., "What makes fake images detectable?",
ECCV 2020; losses at hidden layers: Lee et al., "Deeply-supervised nets", AISTATS 2015.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional


class PatchLoss(nn.Module):
    """Heads on feature maps of a network, and the loss of what they say of the last batch.

    `channels` are those of the maps, by the name of the module whose output they are.
    """

    def __init__(self, network: nn.Module, channels: Mapping[str, int]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv2d(count, 1, 1) for count in channels.values())
        self._maps: dict[int, Tensor] = {}
        for place, name in enumerate(channels):
            self._watch(network.get_submodule(name), place)

    def _watch(self, module: nn.Module, place: int) -> None:
        def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            if torch.is_grad_enabled():
                self._maps[place] = output

        module.register_forward_hook(keep)

    def forward(self, x: Tensor, fake: Tensor) -> Tensor:
        """Mean over the maps of the last forward pass of `x` (N, 3, H, W), whose pairs follow each
        other; `fake` (N,) is 1 or 0. Cross-entropy, and the ranking of the two faces of a pair."""
        difference = (x[0::2] - x[1::2]).abs().mean(1, keepdim=True)
        sign = (fake[0::2] - fake[1::2])[:, None, None]
        total = torch.zeros((), device=x.device)
        for place, head in enumerate(self.heads):
            features = self._maps.pop(place).float()
            logit = head(features)[:, 0]
            weight = functional.adaptive_avg_pool2d(difference, logit.shape[1:])[:, 0]
            weight = weight / weight.mean((1, 2), keepdim=True).clamp_min(1e-4)
            label = fake[:, None, None].expand_as(logit)
            each = functional.binary_cross_entropy_with_logits(logit, label, reduction="none")
            rank = functional.softplus((logit[1::2] - logit[0::2]) * sign)
            total = total + (weight.repeat_interleave(2, 0) * each).mean() + (weight * rank).mean()
        return total / len(self.heads)
