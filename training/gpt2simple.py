"""One optimiser step of GPT-2, computed by gpt-2-simple's graph on TensorFlow.

The graph and the variables' names are gpt_2_simple.src.model's, so what is saved here is what
gpt_2_simple.load_gpt2 loads. The loop around it is ours (see `loop`): gpt_2_simple.finetune
prints, samples and saves in ways that cannot be steered.

Importing this module imports TensorFlow, which takes seconds.
"""

import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from engine import HParams
from training.dataset import Tokens
from training.errors import TrainingError
from training.quiet import quiet_stderr

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with quiet_stderr():
    import gpt_2_simple
    import tensorflow as tf
    from gpt_2_simple.src import model as gpt2
tf.get_logger().setLevel("ERROR")
tf1 = tf.compat.v1

_CLIP_NORM = 1.0  # of the global gradient norm, as in GPT-3 (Brown et al. 2020, appendix B)


class Gpt2Simple:
    """A GPT-2 under training: its weights, its gradients and Adam's moments."""

    def __init__(self, hparams: HParams, *, seed: int) -> None:
        """Weights are initialised from scratch by gpt-2-simple's initialisers and seed."""
        self._graph = tf.Graph()
        with self._graph.as_default():
            tf1.set_random_seed(seed)
            self._tokens = tf1.placeholder(tf.int32, [None, None], name="tokens")
            logits = gpt2.model(gpt2.HParams(**asdict(hparams)), self._tokens)["logits"]
            self._loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(
                    labels=self._tokens[:, 1:], logits=logits[:, :-1]
                )
            )
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
            means, self._norm = tf.clip_by_global_norm(
                [s / self._batches for s in sums], _CLIP_NORM
            )
            optimizer = tf1.train.AdamOptimizer(self._learning_rate)
            apply = optimizer.apply_gradients(zip(means, weights, strict=True))
            with tf.control_dependencies([apply]):
                self._apply = tf.group(*(s.assign(tf.zeros_like(s)) for s in sums))
            self._round = tf.group(
                *(w.assign(tf.cast(tf.cast(w, tf.bfloat16), tf.float32)) for w in weights)
            )
            self._saver = tf1.train.Saver(weights, max_to_keep=None)
            with quiet_stderr():
                self._session = gpt_2_simple.start_tf_sess()
            self._session.run(tf1.global_variables_initializer())

    def loss(self, batch: Tokens) -> float:
        """Mean cross-entropy in nats a predicted token; batch is (windows, tokens)."""
        return float(self._session.run(self._loss, {self._tokens: batch}))

    def step(self, batches: Iterable[Tokens], learning_rate: float) -> float:
        """One Adam step on the mean gradient of the batches; returns their mean loss before it.

        Raises:
            TrainingError: loss or gradient overflowed; the weights are lost.
        """
        losses = []
        for batch in batches:
            loss, _ = self._session.run([self._loss, self._accumulate], {self._tokens: batch})
            losses.append(loss)
        feed = {self._learning_rate: learning_rate, self._batches: len(losses)}
        norm, _ = self._session.run([self._norm, self._apply], feed)
        if not np.isfinite(norm):
            raise TrainingError(
                "the loss has become infinite; go on from the last save with a lower "
                "--learning-rate"
            )
        return float(np.mean(losses))

    def load(self, prefix: Path) -> None:
        """Read the weights from <prefix>.index and <prefix>.data-00000-of-00001.

        TensorFlow does not compare shapes; engine.Checkpoint has, before anyone gets here.

        Raises:
            TrainingError: they cannot be read.
        """
        try:
            self._saver.restore(self._session, str(prefix))
        except (tf.errors.OpError, ValueError) as error:
            raise TrainingError(f"the weights {prefix} cannot be read: {_reason(error)}") from error

    def round_weights(self) -> None:
        """Round all weights to bfloat16's 8 significant bits; they stay float32 tensors."""
        self._session.run(self._round)

    def save(self, prefix: Path) -> None:
        """Write <prefix>.index and <prefix>.data-00000-of-00001, each whole or not at all.

        Raises:
            TrainingError: the folder cannot be written or the disk is full.
        """
        try:
            self._saver.save(self._session, str(prefix), write_meta_graph=False, write_state=False)
        except (tf.errors.OpError, ValueError) as error:
            raise TrainingError(f"{prefix} cannot be saved: {_reason(error)}") from error

    def close(self) -> None:
        """Free the memory."""
        self._session.close()


def _reason(error: Exception) -> str:
    """The first line of what TensorFlow says."""
    return str(getattr(error, "message", error)).strip().splitlines()[0]
