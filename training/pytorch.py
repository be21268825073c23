"""GPT-2 and its optimiser steps, computed by PyTorch.

Weights are called and shaped as gpt-2-simple's variables are. In comments beside tensors: B windows
of T tokens, E = n_embd, H = n_head, V = n_vocab.

Importing this module imports PyTorch, which takes seconds.
"""

import ctypes
import importlib.util
import math
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from engine import HParams
from engine.checkpoint import tensors
from training.dataset import Tokens
from training.errors import TrainingError
from training.memory import LOGITS_AT_ONCE
from training.trainer import (
    BETAS,
    CLIP_NORM,
    EPSILON,
    MOMENTS,
    MOMENTUM,
    OVERFLOWED,
    Array,
    shares,
)

_M_MMAP_THRESHOLD = -3  # malloc.h


class GPT2(nn.Module):
    """GPT-2 (Radford et al. 2019); the embedding of tokens is the output layer, too.

    recompute: what layers compute on the way is not kept for the gradients but computed again
    (Chen et al. 2016), which takes less memory and more time.
    """

    def __init__(self, hp: HParams, *, recompute: bool = False) -> None:
        super().__init__()
        self.hp = hp
        self.recompute = recompute
        # A convolution's weight is a matrix here, without the 1 that its shape begins with.
        shapes = ((name, shape[-2:]) for name, shape in tensors(hp))
        self.weights = nn.ParameterDict({name: _first(name, shape, hp) for name, shape in shapes})

    def forward(self, tokens: Tensor) -> Tensor:  # (B, T) -> the losses (B, T - 1)
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        wte, wpe = self.weights["model/wte"], self.weights["model/wpe"]  # (V, E), (n_ctx, E)
        x = F.embedding(inputs, wte) + wpe[: inputs.shape[1]]  # (B, T - 1, E)
        for layer in range(self.hp.n_layer):
            x = self._pass(self._layer, x, f"model/h{layer}")
        x, flat = x.flatten(0, 1), targets.flatten()
        whole = torch.is_grad_enabled() and not self.recompute
        size = len(flat) if whole else LOGITS_AT_ONCE
        parts = zip(torch.split(x, size), torch.split(flat, size), strict=True)
        return torch.cat([self._pass(self._head, *part) for part in parts]).view_as(targets)

    def _pass(self, part: Callable[..., Tensor], *inputs: object) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            y: Tensor = checkpoint(part, *inputs, use_reentrant=False, preserve_rng_state=False)
            return y
        return part(*inputs)

    def _layer(self, x: Tensor, scope: str) -> Tensor:  # (B, T, E) -> (B, T, E)
        x = x + self._attention(self._norm(x, f"{scope}/ln_1"), f"{scope}/attn")
        return x + self._mlp(self._norm(x, f"{scope}/ln_2"), f"{scope}/mlp")

    def _head(self, x: Tensor, targets: Tensor) -> Tensor:  # (N, E), (N,) -> the losses (N,)
        logits = F.linear(self._norm(x, "model/ln_f"), self.weights["model/wte"])  # (N, V)
        return F.cross_entropy(logits.float(), targets, reduction="none")

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


def gpu_memory() -> int | None:
    """The free bytes of the GPU; None where there is none."""
    return torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else None


def multiplies_bfloat16() -> bool:
    """Whether the GPU, or the processor where there is none, has instructions for bfloat16."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def _give_back_freed_memory() -> None:
    """Have glibc's malloc give large blocks back to the system, rather than keep them.

    Between those that it keeps (of up to 32 MB) new ones do not fit: mini with 4 windows at once
    took 0.7 GB more than PyTorch had loaded, instead of 0.3. It takes a few page faults more.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(_M_MMAP_THRESHOLD, 1 << 20)


def can_compile() -> bool:
    """Whether the tools are there that torch.compile calls."""
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    found = shutil.which(compiler) and Path(sysconfig.get_path("include"), "Python.h").exists()
    return bool(found and (not torch.cuda.is_available() or importlib.util.find_spec("triton")))


def compiling_pays(hparams: HParams, tokens: int) -> bool:
    """Whether to compile the steps of a run that reads so many tokens in all.

    For two CPU cores it took 70 s for each of the two shapes that mini's batches have, and saved a
    sixth of the time from then on: that pays after a quarter of an hour, and clearly after two, the
    limit here. For GPUs, which do ten times as much in a minute, the limit is ten times as high;
    that has not been measured. It is the whole run that counts, so that it goes on as it began.
    """
    parameters = sum(math.prod(shape) for _, shape in tensors(hparams))
    operations = 6 * parameters * tokens
    return can_compile() and operations > (1e16 if torch.cuda.is_available() else 1e15)


class PyTorch:
    """A GPT-2 under training (see `trainer.Trainer`): on the GPU where there is one.

    Where there are several processes (see `distributed`), each computes its share of a step, and
    DistributedDataParallel sums up the gradients.

    bfloat16: steps multiply matrices in bfloat16; weights, moments and the loss stay float32, and
    so does all of `losses`, by which runs are compared.
    muon: the layers' matrices are trained by Muon (Jordan et al. 2024,
    https://kellerjordan.github.io/posts/muon), scaled so that Adam's learning rates suit it (Liu et
    al. 2025, arXiv 2502.16982), the embeddings and vectors by Adam as ever. From scratch it learned
    as much from half the steps here.
    recompute: see `GPT2`.
    most_tokens: that are computed at once; of larger batches a part after another.
    compiled: by torch.compile, anew for each shape of a batch.
    """

    def __init__(
        self,
        hparams: HParams,
        *,
        seed: int,
        weight_decay: float = 0.0,
        bfloat16: bool = False,
        muon: bool = False,
        compiled: bool = False,
        recompute: bool = False,
        most_tokens: int | None = None,
    ) -> None:
        self.hparams = hparams
        torch.manual_seed(seed)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._bfloat16 = bfloat16
        self._most_tokens = most_tokens
        if recompute and self._device.type == "cpu" and sys.platform == "linux":
            _give_back_freed_memory()
        self._model = GPT2(hparams, recompute=recompute).to(self._device)
        self._weights: dict[str, Tensor] = dict(self._model.weights)
        self._in_steps: nn.Module = self._model
        if compiled:
            self._in_steps = cast(nn.Module, torch.compile(self._model, dynamic=False))
        self._process, self._processes = 0, 1
        if dist.is_available() and dist.is_initialized():
            self._process, self._processes = dist.get_rank(), dist.get_world_size()
            self._in_steps = DistributedDataParallel(self._in_steps, gradient_as_bucket_view=True)
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
        parts = shares(batches, self._most_tokens, self._process, self._processes)
        total = torch.zeros((), device=self._device)
        for number, (tokens, share) in enumerate(parts, 1):
            with self._apart() if number < len(parts) else nullcontext():
                loss = self._losses(self._in_steps, tokens, self._bfloat16).mean() * share
                # DistributedDataParallel divides by the number of processes.
                torch.autograd.backward(loss * self._processes)
            total += loss.detach()
        if self._processes > 1:
            dist.all_reduce(total)
        norm = nn.utils.clip_grad_norm_(self._weights.values(), CLIP_NORM)
        if not torch.isfinite(norm):
            raise TrainingError(OVERFLOWED)
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            optimizer.step()
            optimizer.zero_grad()
        return total.item()

    def losses(self, batch: Tokens) -> Array:
        with torch.no_grad():
            losses: Array = self._losses(self._model, batch, bfloat16=False).cpu().numpy()
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
        del self._model, self._in_steps, self._weights, self._moments
        del self._adam, self._optimizers

    def _apart(self) -> AbstractContextManager[None]:
        """In which gradients stay this process's."""
        if isinstance(self._in_steps, DistributedDataParallel):
            return self._in_steps.no_sync()
        return nullcontext()

    def _losses(self, model: nn.Module, batch: Tokens, bfloat16: bool) -> Tensor:
        tokens = torch.from_numpy(batch.astype(np.int64)).to(self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=bfloat16):
            losses: Tensor = model(tokens)
        return losses

    def _find(self, name: str) -> Tensor:
        return self._weights[name] if name in self._weights else self._moments[name]
