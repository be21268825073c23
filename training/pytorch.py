"""GPT-2 and its optimiser steps, computed by PyTorch.

Weights are called and shaped as gpt-2-simple's variables are. In comments beside tensors: B windows
of T tokens, E = n_embd, H = n_head, V = n_vocab.

Importing this module imports PyTorch, which takes seconds.
"""

import math
from collections.abc import Iterable
from itertools import chain

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine import HParams
from engine.checkpoint import tensors
from training.dataset import Tokens
from training.errors import TrainingError
from training.trainer import BETAS, CLIP_NORM, EPSILON, MOMENTS, MOMENTUM, OVERFLOWED, Array


class GPT2(nn.Module):
    """GPT-2 (Radford et al. 2019); the embedding of tokens is the output layer, too."""

    def __init__(self, hp: HParams) -> None:
        super().__init__()
        self.hp = hp
        # A convolution's weight is a matrix here, without the 1 that its shape begins with.
        shapes = ((name, shape[-2:]) for name, shape in tensors(hp))
        self.weights = nn.ParameterDict({name: _first(name, shape, hp) for name, shape in shapes})

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
        """GPT-2's convolution of width 1: its weight is (inputs, outputs)."""
        return F.linear(x, self.weights[f"{scope}/w"].T, self.weights[f"{scope}/b"])


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

    muon: the layers' matrices are trained by Muon (Jordan et al. 2024,
    https://kellerjordan.github.io/posts/muon), scaled so that Adam's learning rates suit it (Liu et
    al. 2025, arXiv 2502.16982), the embeddings and vectors by Adam as ever. From scratch it learned
    as much from half the steps here.
    """

    def __init__(
        self,
        hparams: HParams,
        *,
        seed: int,
        weight_decay: float = 0.0,
        bfloat16: bool = False,
        muon: bool = False,
    ) -> None:
        self.hparams = hparams
        torch.manual_seed(seed)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._bfloat16 = bfloat16
        self._model = GPT2(hparams).to(self._device)
        self._weights: dict[str, Tensor] = dict(self._model.weights)
        by_muon = {n: w for n, w in self._weights.items() if muon and n.endswith("/w")}
        by_adam = {n: w for n, w in self._weights.items() if n not in by_muon}
        self._moments = {
            name + moment: torch.zeros_like(weight)
            for weights, moments in ((by_adam, MOMENTS), (by_muon, (MOMENTUM,)))
            for name, weight in weights.items()
            for moment in moments
        }
        self._shapes = dict(chain(tensors(hparams), self.moments()))
        self._adam = torch.optim.AdamW(
            [
                {
                    "params": [w for w in by_adam.values() if (w.dim() > 1) == is_matrix],
                    "weight_decay": weight_decay if is_matrix else 0.0,
                }
                for is_matrix in (True, False)
            ],
            betas=BETAS,
            eps=EPSILON,
            fused=True,
        )
        first, second = MOMENTS
        for name, weight in by_adam.items():
            self._adam.state[weight] = {
                "step": torch.zeros((), device=self._device),
                "exp_avg": self._moments[name + first],
                "exp_avg_sq": self._moments[name + second],
            }
        self._optimizers: list[torch.optim.Optimizer] = [self._adam]
        if by_muon:
            self._optimizers.append(
                torch.optim.Muon(
                    by_muon.values(), weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
                )
            )
            for name, weight in by_muon.items():
                momentum = self._moments[name + MOMENTUM]
                self._optimizers[1].state[weight] = {"momentum_buffer": momentum}

    def moments(self) -> Iterable[tuple[str, tuple[int, ...]]]:
        for name, shape in tensors(self.hparams):
            for moment in (*MOMENTS, MOMENTUM):
                if name + moment in self._moments:
                    yield name + moment, shape

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
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            optimizer.step()
            optimizer.zero_grad()
        return total

    def losses(self, batch: Tokens) -> Array:
        with torch.no_grad():
            losses: Array = self._losses(batch, bfloat16=False).cpu().numpy()
        return losses

    def get(self, name: str) -> Array:
        value: Array = self._find(name).detach().cpu().numpy()
        return value.reshape(self._shapes[name])

    def put(self, name: str, value: Array) -> None:
        with torch.no_grad():
            found = self._find(name)
            found.copy_(torch.from_numpy(value).view_as(found))

    def resume(self, step: int) -> None:
        for state in self._adam.state.values():
            state["step"].fill_(step)

    def close(self) -> None:
        del self._model, self._weights, self._moments, self._adam, self._optimizers

    def _losses(self, batch: Tokens, bfloat16: bool) -> Tensor:
        tokens = torch.from_numpy(batch.astype(np.int64)).to(self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=bfloat16):
            losses: Tensor = self._model(tokens)
        return losses

    def _find(self, name: str) -> Tensor:
        return self._weights[name] if name in self._weights else self._moments[name]
