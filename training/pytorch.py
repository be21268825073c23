"""GPT-2 and its optimiser steps, computed by PyTorch.

Weights are called and shaped as gpt-2-simple's variables are. In comments beside tensors: B windows
of T tokens, E = n_embd, H = n_head, V = n_vocab.

Importing this module imports PyTorch, which takes seconds.
"""

import math
from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine import HParams
from engine.checkpoint import tensors
from training.dataset import Tokens
from training.errors import TrainingError
from training.trainer import BETAS, CLIP_NORM, EPSILON, MOMENTS, OVERFLOWED, Array


class GPT2(nn.Module):
    """GPT-2 (Radford et al. 2019); the embedding of tokens is the output layer, too."""

    def __init__(self, hp: HParams) -> None:
        super().__init__()
        self.hp = hp
        self.weights = nn.ParameterDict({n: _first(n, shape, hp) for n, shape in tensors(hp)})

    def forward(self, tokens: Tensor) -> Tensor:  # (B, T) -> the losses (B, T - 1)
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        wte, wpe = self.weights["model/wte"], self.weights["model/wpe"]  # (V, E), (n_ctx, E)
        x = F.embedding(inputs, wte) + wpe[: inputs.shape[1]]  # (B, T - 1, E)
        for layer in range(self.hp.n_layer):
            h = f"model/h{layer}"
            x = x + self._attention(self._norm(x, f"{h}/ln_1"), f"{h}/attn")
            x = x + self._mlp(self._norm(x, f"{h}/ln_2"), f"{h}/mlp")
        logits = F.linear(self._norm(x, "model/ln_f"), wte)  # (B, T - 1, V)
        losses = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none")
        return losses.view_as(targets)

    def _attention(self, x: Tensor, scope: str) -> Tensor:  # (B, T, E) -> (B, T, E)
        b, t, e = x.shape
        qkv = self._linear(x, f"{scope}/c_attn").view(b, t, 3, self.hp.n_head, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, H, T, E / H)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self._linear(a.transpose(1, 2).reshape(b, t, e), f"{scope}/c_proj")

    def _mlp(self, x: Tensor, scope: str) -> Tensor:  # (B, T, E) -> (B, T, E)
        hidden = F.gelu(self._linear(x, f"{scope}/c_fc"), approximate="tanh")  # (B, T, 4 E)
        return self._linear(hidden, f"{scope}/c_proj")

    def _norm(self, x: Tensor, scope: str) -> Tensor:
        g, b = self.weights[f"{scope}/g"], self.weights[f"{scope}/b"]  # (E,), (E,)
        return F.layer_norm(x, g.shape, g, b, eps=1e-5)

    def _linear(self, x: Tensor, scope: str) -> Tensor:
        """GPT-2's convolution of width 1: its weight is (1, inputs, outputs)."""
        return F.linear(x, self.weights[f"{scope}/w"][0].T, self.weights[f"{scope}/b"])


def _first(name: str, shape: tuple[int, ...], hp: HParams) -> Tensor:
    """A weight before training."""
    if name.endswith("/g"):
        return torch.ones(shape)
    if name.endswith("/b"):
        return torch.zeros(shape)
    width = 0.01 if name.endswith("wpe") else 0.02
    if name.endswith("c_proj/w"):  # what it adds to adds up over the layers
        width /= math.sqrt(2 * hp.n_layer)
    return torch.randn(shape) * width


def multiplies_bfloat16() -> bool:
    """Whether the GPU, or the processor where there is none, has instructions for bfloat16."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu.get_capabilities().get("avx512_bf16"))


class PyTorch:
    """A GPT-2 under training (see `trainer.Trainer`): on the GPU where there is one.

    bfloat16: steps multiply matrices in bfloat16; weights, moments and the loss stay float32, and
    so does all of `losses`, by which runs are compared.
    """

    def __init__(
        self, hparams: HParams, *, seed: int, weight_decay: float = 0.0, bfloat16: bool = False
    ) -> None:
        self.hparams = hparams
        torch.manual_seed(seed)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._bfloat16 = bfloat16
        self._model = GPT2(hparams).to(self._device)
        self._weights: dict[str, Tensor] = dict(self._model.weights)
        matrices = [w for w in self._weights.values() if w.dim() > 1]
        vectors = [w for w in self._weights.values() if w.dim() == 1]
        self._optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            betas=BETAS,
            eps=EPSILON,
            fused=True,
        )
        for weight in self._weights.values():
            self._optimizer.state[weight] = {
                "step": torch.zeros((), device=self._device),
                "exp_avg": torch.zeros_like(weight),
                "exp_avg_sq": torch.zeros_like(weight),
            }

    def step(self, batches: Iterable[Tokens], learning_rate: float) -> float:
        all_batches = list(batches)
        total = 0.0
        for batch in all_batches:
            loss = self._losses(batch, self._bfloat16).mean() / len(all_batches)
            torch.autograd.backward(loss)
            total += loss.item()
        norm = nn.utils.clip_grad_norm_(self._weights.values(), CLIP_NORM)
        if not torch.isfinite(norm):
            raise TrainingError(OVERFLOWED)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.step()
        self._optimizer.zero_grad()
        return total

    def losses(self, batch: Tokens) -> Array:
        with torch.no_grad():
            losses: Array = self._losses(batch, bfloat16=False).cpu().numpy()
        return losses

    def get(self, name: str) -> Array:
        value: Array = self._find(name).detach().cpu().numpy()
        return value

    def put(self, name: str, value: Array) -> None:
        with torch.no_grad():
            self._find(name).copy_(torch.from_numpy(value))

    def resume(self, step: int) -> None:
        for state in self._optimizer.state.values():
            state["step"].fill_(step)

    def close(self) -> None:
        del self._model, self._weights, self._optimizer

    def _losses(self, batch: Tokens, bfloat16: bool) -> Tensor:
        tokens = torch.from_numpy(batch.astype(np.int64)).to(self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=bfloat16):
            losses: Tensor = self._model(tokens)
        return losses

    def _find(self, name: str) -> Tensor:
        weight, _, moment = name.partition(MOMENTS[0])
        if name == weight:
            return self._weights[name]
        key = "exp_avg_sq" if moment else "exp_avg"
        found: Tensor = self._optimizer.state[self._weights[weight]][key]
        return found
