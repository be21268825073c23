"""gpt-2-simple's own logits of a checkpoint: the reference of the engine's.

    python tests/engine/reference_logits.py FOLDER TOKENS.npy OUT.npy

TOKENS [rows][n] int32 -> OUT [rows][n][n_vocab] float32.
"""

import json
import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


def main(folder: str, tokens_path: str, out_path: str) -> None:
    import numpy as np
    import tensorflow.compat.v1 as tf
    from gpt_2_simple.src import model

    tf.disable_eager_execution()
    hparams = model.default_hparams()
    hparams.override_from_dict(json.loads((Path(folder) / "hparams.json").read_text()))
    tokens = np.load(tokens_path)
    context = tf.placeholder(tf.int32, [1, None])
    output = model.model(hparams=hparams, X=context)
    with tf.Session() as session:
        tf.train.Saver().restore(session, tf.train.latest_checkpoint(folder))
        logits = [
            session.run(output["logits"], {context: row[None]})[0].astype(np.float32)
            for row in tokens
        ]
    np.save(out_path, np.stack(logits))


if __name__ == "__main__":
    main(*sys.argv[1:])
