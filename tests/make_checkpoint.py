"""Writes a random model in gpt-2-simple's layout, with its own graph and TensorFlow's Saver.

    python tests/make_checkpoint.py FOLDER '{"n_ctx": 128, ...}' [--scale 8] [--vocabulary DIR]

Weights are drawn several times wider than GPT-2's initialisation, so that the next token matters.
Without --vocabulary the byte-level BPE is trained on a few lines below and n_vocab follows from it.
"""

import argparse
import json
import os
import shutil
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

LINES = [
    "Wren and Fizzlet walk along the harbor while the lanterns are lit one by one.",
    "Suddenly, the Umbrage Trio appears! Dorian laughs. Grumbit doesn't.",
    "In 1997 they'd have counted 24 sailfins; today it's 120,5.",
]


def train_vocabulary(folder: Path) -> int:
    from tokenizers import ByteLevelBPETokenizer

    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(LINES * 3, vocab_size=340, min_frequency=2, show_progress=False)
    model = json.loads(tokenizer.to_str())["model"]
    vocabulary = model["vocab"] | {"<|endoftext|>": len(model["vocab"])}
    merges = "".join(" ".join(pair) + "\n" for pair in model["merges"])
    (folder / "encoder.json").write_text(json.dumps(vocabulary))
    (folder / "vocab.bpe").write_text("#version: 0.2\n" + merges, encoding="utf-8")
    return len(vocabulary)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("hparams", type=json.loads)
    parser.add_argument("--scale", type=float, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--step", type=int, default=3)
    parser.add_argument("--vocabulary", type=Path)
    args = parser.parse_args()

    args.folder.mkdir(parents=True, exist_ok=True)
    if args.vocabulary:
        for name in ("encoder.json", "vocab.bpe"):
            shutil.copy(args.vocabulary / name, args.folder / name)
        n_vocab = len(json.loads((args.folder / "encoder.json").read_text()))
    else:
        n_vocab = train_vocabulary(args.folder)
    hparams_table = {"n_vocab": n_vocab} | args.hparams
    (args.folder / "hparams.json").write_text(json.dumps(hparams_table))

    import numpy as np
    import tensorflow.compat.v1 as tf
    from gpt_2_simple.src import model

    tf.disable_eager_execution()
    tf.set_random_seed(args.seed)
    hparams = model.default_hparams()
    hparams.override_from_dict(hparams_table)
    model.model(hparams=hparams, X=tf.placeholder(tf.int32, [1, None]))
    rng = np.random.default_rng(args.seed)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for variable in tf.trainable_variables():
            wide = session.run(variable) * args.scale ** (len(variable.shape) > 1)
            variable.load(wide + rng.normal(0, 0.02, wide.shape), session)
        tf.train.Saver(tf.trainable_variables()).save(
            session, str(args.folder / "model"), global_step=args.step, write_meta_graph=False
        )
    (args.folder / "counter").write_text(f"{args.step}\n")


if __name__ == "__main__":
    main()
