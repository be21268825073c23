#!/usr/bin/env python3
"""Write a model in other formats: GGUF for llama.cpp, a folder for transformers, gpt-2-simple."""

import argparse
import shutil
import sys
from functools import partial
from pathlib import Path

from tqdm import tqdm

from corpus import attribution
from corpus.documents import CorpusError
from engine import (
    CheckpointError,
    GgufModel,
    Source,
    open_source,
    write_checkpoint,
    write_gguf,
    write_huggingface,
)

EXAMPLES = """\
examples:
  python export_model.py checkpoint/run1 --to gguf
      checkpoint/run1-q8_0.gguf, a byte a weight, for llama.cpp, Ollama, LM Studio, and for
      CHECKPOINT=checkpoint/run1-q8_0.gguf make run
  python export_model.py checkpoint/run1 --to gguf --type f16 --out ~/models/episodes.gguf
      more exact and twice as large; llama-quantize makes smaller ones of it
  python export_model.py checkpoint/run1 --to hf
      the folder checkpoint/run1-hf, for transformers' from_pretrained()
  python export_model.py models/mini --to gpt-2-simple --out checkpoint/mine
      TensorFlow's checkpoint, as gpt-2-simple loads it and leaves it
  python export_model.py someones-gpt2.gguf --to hf
      a GGUF file is read as a checkpoint is

A GGUF file says under general.license and general.description whose texts the model was trained
on, and a folder holds the model card, where the checkpoint knows it.

A file takes its name only when it is complete; one that was there is replaced.
"""


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("checkpoint", type=Path, metavar="CHECKPOINT", help="a checkpoint folder or a GGUF file")
    add("--to", choices=("gguf", "hf", "gpt-2-simple"), required=True)
    add("--type", choices=("q8_0", "f16", "f32"), help="of a GGUF file's weights; default q8_0")
    add("--out", type=Path, metavar="PATH", help="default: beside CHECKPOINT, see the examples")
    args = parser.parse_args(arguments)
    if args.to != "gguf" and args.type not in (None, "f32"):
        parser.error(f"--type: with --to {args.to} the weights are f32")
    args.type = args.type or "q8_0"
    if args.out is None:
        stem = args.checkpoint.resolve().name.removesuffix(".gguf")
        name = f"{stem}-{args.type}.gguf" if args.to == "gguf" else f"{stem}-{args.to}"
        args.out = args.checkpoint.resolve().with_name(name)
    if not args.out.name or (args.to == "gguf" and args.out.is_dir()):
        parser.error(f"--out: {args.out} is a folder that is there already: give a new name")
    return args


def _about(source: Source, checkpoint: Path) -> dict[str, str]:
    """What is known of the texts that the model was trained on, as GGUF's metadata."""
    if isinstance(source, GgufModel):
        return source.about
    terms = attribution.of_checkpoint(checkpoint)
    about = {"general.description": terms} if terms else {}
    if ids := attribution.license_ids(terms):
        about["general.license"] = " AND ".join(ids)
    return about


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = _parse(arguments)
    try:
        source = open_source(args.checkpoint)
        progress = partial(tqdm, total=4 + 12 * source.hparams.n_layer, unit="tensor")
        if args.to == "gguf":
            write_gguf(
                source,
                args.out,
                args.type,
                about=_about(source, args.checkpoint),
                progress=progress,
            )
        else:
            write = write_huggingface if args.to == "hf" else write_checkpoint
            write(source, args.out, progress=progress)
            for name in ("README.md", attribution.IN_CHECKPOINT):
                if (args.checkpoint / name).is_file():
                    shutil.copyfile(args.checkpoint / name, args.out / name)
    except (CheckpointError, CorpusError) as error:
        print(f"export_model.py: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"export_model.py: {args.out}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. No file was changed.", file=sys.stderr)
        return 130
    print(args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
