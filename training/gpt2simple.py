"""One optimiser step of GPT-2, computed by gpt-2-simple's graph on TensorFlow.

The graph and the variables' names are gpt_2_simple.src.model's, so what is saved here is what
gpt_2_simple.load_gpt2 loads. The loop around it is ours (see `loop`): gpt_2_simple.finetune
prints, samples and saves in ways that cannot be steered.

Importing this module imports TensorFlow, which takes seconds.
"""

import os
from collections.abc import Iterable
from dataclasses import asdict

import numpy as np

from engine import HParams
from training.dataset import Tokens
from training.errors import TrainingError
from training.quiet import quiet_stderr
from training.trainer import BETAS, CLIP_NORM, EPSILON, MOMENTS, OVERFLOWED, Array

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with quiet_stderr():
    import gpt_2_simple
    import tensorflow as tf
    from gpt_2_simple.src import model as gpt2
tf.get_logger().setLevel("ERROR")
tf1 = tf.compat.v1


class Gpt2Simple:
    """A GPT-2 under training (see `trainer.Trainer`).

    Weights are initialised from scratch by gpt-2-simple's initialisers and seed.
    """

    def __init__(self, hparams: HParams, *, seed: int, weight_decay: float = 0.0) -> None:
        self.hparams = hparams
        self._graph = tf.Graph()
        with self._graph.as_default():
            tf1.set_random_seed(seed)
            self._tokens = tf1.placeholder(tf.int32, [None, None], name="tokens")
            logits = gpt2.model(gpt2.HParams(**asdict(hparams)), self._tokens)["logits"]
            self._losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels=self._tokens[:, 1:], logits=logits[:, :-1]
            )
            self._loss = tf.reduce_mean(self._losses)
            weights = tf1.trainable_variables()
            # Gradients are summed here over a step's batches, however few: what does not fit
            # into memory at once is trained one batch after another.
            sums = [tf1.Variable(tf.zeros(w.shape), trainable=False) for w in weights]
            self._accumulate = tf.group(
                *(
                    total.assign_add(gradient)
                    for total, gradient in zip(sums, tf.gradients(self._loss, weights), strict=True)
                )
            )
            self._learning_rate = tf1.placeholder(tf.float32, [], name="learning_rate")
            self._batches = tf1.placeholder(tf.float32, [], name="batches")
            means, self._norm = tf.clip_by_global_norm([s / self._batches for s in sums], CLIP_NORM)
            decay = 1 - weight_decay * self._learning_rate
            matrices = [w for w in weights if len(w.shape) > 1]
            optimizer = tf1.train.AdamOptimizer(self._learning_rate, *BETAS, EPSILON)
            # Decoupled from the gradient (Loshchilov and Hutter, 2019), before it as in PyTorch.
            with tf.control_dependencies([w.assign(w * decay) for w in matrices if weight_decay]):
                apply = optimizer.apply_gradients(zip(means, weights, strict=True))
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

    def losses(self, batch: Tokens) -> Array:
        losses: Array = self._session.run(self._losses, {self._tokens: batch})
        return losses

    def step(self, batches: Iterable[Tokens], learning_rate: float) -> float:
        losses = []
        for batch in batches:
            loss, _ = self._session.run([self._loss, self._accumulate], {self._tokens: batch})
            losses.append(loss)
        feed = {self._learning_rate: learning_rate, self._batches: len(losses)}
        norm, _ = self._session.run([self._norm, self._apply], feed)
        if not np.isfinite(norm):
            raise TrainingError(OVERFLOWED)
        return float(np.mean(losses))

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
