"""One optimiser step of GPT-2, computed by gpt-2-simple's graph on TensorFlow.

The layers and the variables' names are gpt_2_simple.src.model's, so what is saved here is what
gpt_2_simple.load_gpt2 loads. Attention alone is put together in another way, which gives the same
numbers sooner. The loop around it is ours (see `loop`): gpt_2_simple.finetune prints, samples and
saves in ways that cannot be steered.

In comments beside tensors: B windows of T tokens, E = n_embd, H = n_head, V = n_vocab.

Importing this module imports TensorFlow, which takes seconds.
"""

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from engine import HParams
from engine.checkpoint import tensors
from training.dataset import Tokens
from training.errors import TrainingError
from training.quiet import quiet_stderr
from training.trainer import BETAS, CLIP_NORM, EPSILON, MOMENTS, OVERFLOWED, Array, shares

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with quiet_stderr():
    import gpt_2_simple
    import tensorflow as tf
    from gpt_2_simple.src import model as gpt2
tf.get_logger().setLevel("ERROR")
tf1 = tf.compat.v1

_PARTS = 4  # into which attention divides a window: five eighths of the work


def _losses(hp: HParams, tokens: Any) -> Any:  # (B, T) -> (B, T - 1)
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    with tf1.variable_scope("model"):
        wpe = _matrix("wpe", (hp.n_ctx, hp.n_embd), 0.01)
        wte = _matrix("wte", (hp.n_vocab, hp.n_embd), 0.02)
        x = tf.gather(wte, inputs) + wpe[: tf.shape(inputs)[1]]  # (B, T - 1, E)
        for layer in range(hp.n_layer):
            with tf1.variable_scope(f"h{layer}"):
                x += _attention(hp, gpt2.norm(x, "ln_1"))
                x += gpt2.mlp(gpt2.norm(x, "ln_2"), "mlp", 4 * hp.n_embd, hparams=hp)
        x = tf.reshape(gpt2.norm(x, "ln_f"), [-1, hp.n_embd])
        logits = tf.matmul(x, wte, transpose_b=True)  # (B * (T - 1), V)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.reshape(targets, [-1]), logits)
    return tf.reshape(losses, tf.shape(targets))


def _matrix(name: str, shape: tuple[int, int], width: float) -> Any:
    return tf1.get_variable(name, shape, initializer=tf1.random_normal_initializer(stddev=width))


def _attention(hp: HParams, x: Any) -> Any:  # (B, T, E) -> (B, T, E)
    """gpt_2_simple.src.model.attn, a part of the queries at a time, and only with keys not ahead.

    Instead of all of (T, T) nearly one half is computed, and TensorFlow's own softmax, which is one
    operation in each direction, takes a third of the time of the one spelt out.
    """
    with tf1.variable_scope("attn"):
        qkv = tf.split(gpt2.conv1d(x, "c_attn", 3 * hp.n_embd), 3, axis=2)
        q, k, v = (tf.transpose(gpt2.split_states(y, hp.n_head), [0, 2, 1, 3]) for y in qkv)
        q *= (hp.n_embd // hp.n_head) ** -0.5  # each (B, H, T, E / H)
        length = tf.shape(x)[1]
        parts = []
        for part in range(_PARTS):
            start, end = length * part // _PARTS, length * (part + 1) // _PARTS
            ahead = tf.range(start, end)[:, tf.newaxis] < tf.range(end)
            scores = tf.matmul(_rows(q, start, end), _rows(k, 0, end), transpose_b=True)
            probs = tf.nn.softmax(scores + tf.where(ahead, -1e10, 0.0))  # (B, H, end - start, end)
            parts.append(tf.matmul(probs, _rows(v, 0, end)))
        a = tf.transpose(tf.concat(parts, axis=2), [0, 2, 1, 3])  # (B, T, H, E / H)
        return gpt2.conv1d(tf.reshape(a, gpt2.shape_list(x)), "c_proj", hp.n_embd)


def _rows(x: Any, start: Any, end: Any) -> Any:  # (B, H, T, E / H) -> (B, H, end - start, E / H)
    # Not x[:, :, start:end], whose gradient takes as long as the rest of attention.
    return tf.slice(x, [0, 0, start, 0], [-1, -1, end - start, -1])


def has_gpu() -> bool:
    """Whether TensorFlow computes on a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


class Gpt2Simple:
    """A GPT-2 under training (see `trainer.Trainer`).

    Weights are initialised from scratch by gpt-2-simple's initialisers and seed.

    most_tokens: that are computed at once; of larger batches a part after another.
    """

    def __init__(
        self,
        hparams: HParams,
        *,
        seed: int,
        weight_decay: float = 0.0,
        most_tokens: int | None = None,
    ) -> None:
        self.hparams = hparams
        self._most_tokens = most_tokens
        self._graph = tf.Graph()
        with self._graph.as_default():
            tf1.set_random_seed(seed)
            self._tokens = tf1.placeholder(tf.int32, [None, None], name="tokens")
            self._losses = _losses(hparams, self._tokens)
            self._share = tf1.placeholder(tf.float32, [], name="share")
            self._loss = self._share * tf.reduce_mean(self._losses)
            weights = tf1.trainable_variables()
            # Gradients are summed here over a step's parts, however few: what does not fit into
            # memory at once is trained one part after another.
            sums = [tf1.Variable(tf.zeros(w.shape), trainable=False) for w in weights]
            self._accumulate = tf.group(
                *(
                    total.assign_add(gradient)
                    for total, gradient in zip(sums, tf.gradients(self._loss, weights), strict=True)
                )
            )
            self._learning_rate = tf1.placeholder(tf.float32, [], name="learning_rate")
            clipped, self._norm = tf.clip_by_global_norm(sums, CLIP_NORM)
            decay = 1 - weight_decay * self._learning_rate
            matrices = [w for w in weights if len(w.shape) > 1]
            optimizer = tf1.train.AdamOptimizer(self._learning_rate, *BETAS, EPSILON)
            # Decoupled from the gradient (Loshchilov and Hutter, 2019), before it as in PyTorch.
            with tf.control_dependencies([w.assign(w * decay) for w in matrices if weight_decay]):
                apply = optimizer.apply_gradients(zip(clipped, weights, strict=True))
            with tf.control_dependencies([apply]):
                self._apply = tf.group(*(s.assign(tf.zeros_like(s)) for s in sums))
            self._variables = {w.op.name: w for w in weights}
            for suffix, slot in zip(MOMENTS, ("m", "v"), strict=True):
                slots = {w.op.name + suffix: optimizer.get_slot(w, slot) for w in weights}
                self._variables |= slots
            self._powers = optimizer._get_beta_accumulators()
            with quiet_stderr():
                self._session = gpt_2_simple.start_tf_sess()
            self._session.run(tf1.global_variables_initializer())

    def moments(self) -> Iterable[tuple[str, tuple[int, ...]]]:
        return ((name + m, shape) for name, shape in tensors(self.hparams) for m in MOMENTS)

    def losses(self, batch: Tokens) -> Array:
        losses: Array = self._session.run(self._losses, {self._tokens: batch})
        return losses

    def step(self, batches: Iterable[Tokens], learning_rate: float) -> float:
        total = 0.0
        for tokens, share in shares(batches, self._most_tokens):
            feed = {self._tokens: tokens, self._share: share}
            loss, _ = self._session.run([self._loss, self._accumulate], feed)
            total += float(loss)
        feed = {self._learning_rate: learning_rate}
        norm, _ = self._session.run([self._norm, self._apply], feed)
        if not np.isfinite(norm):
            raise TrainingError(OVERFLOWED)
        return total

    def get(self, name: str) -> Array:
        value: Array = self._session.run(self._variables[name])
        return value

    def put(self, name: str, value: Array) -> None:
        self._variables[name].load(value, self._session)

    def resume(self, step: int) -> None:
        for power, beta in zip(self._powers, BETAS, strict=True):
            # Multiplied up as Adam does it, for the same bits.
            factors = np.full(step + 1, beta, np.float32)
            power.load(np.multiply.reduce(factors, dtype=np.float32), self._session)

    def close(self) -> None:
        self._session.close()
