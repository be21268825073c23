"""What the benchmark needs besides the engines, made once and kept in a cache folder.

The weights in every engine's format, llama.cpp compiled for this machine, and the program that
measures the machine's limits.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import islice, product
from pathlib import Path

from engine import END_OF_TEXT, Checkpoint, HParams, open_source
from engine.tokenizer import bytes_to_unicode

ROOT = Path(__file__).parent.parent
_GPT2_SMALL = HParams(n_vocab=50257, n_ctx=1024, n_embd=768, n_head=12, n_layer=12)


class BenchError(Exception):
    """Something could not be made or measured; the message says what in one line."""


@dataclass(frozen=True)
class Formats:
    """The same weights for every engine."""

    hparams: HParams
    checkpoint: Path
    """As it was given."""
    gpt_2_simple: Path
    """float32"""
    gguf: Path
    """Q8_0"""
    huggingface: Path
    """float32"""
    ctranslate2: Path
    """int8"""


def random_124m(cache: Path) -> Path:
    """A checkpoint folder with GPT-2 small's shape (see `random_checkpoint`)."""
    return random_checkpoint(cache, "124M", _GPT2_SMALL)


def random_checkpoint(cache: Path, name: str, hparams: HParams) -> Path:
    """A checkpoint folder with random weights and a made-up vocabulary, cache/name.

    The time a token takes depends neither on the values of the weights nor on the vocabulary.
    """
    folder = cache / name
    if not folder.is_dir():
        aside = _fresh(cache / f"{name}.aside")
        _write_vocabulary(aside, hparams.n_vocab)
        _run(
            *(sys.executable, ROOT / "tests" / "make_checkpoint.py", aside / "checkpoint"),
            *(json.dumps(asdict(hparams)), "--vocabulary", aside, "--scale", "1"),
        )
        # TensorFlow has written the path that is about to change.
        (aside / "checkpoint" / "checkpoint").write_text('model_checkpoint_path: "model-3"\n')
        (aside / "checkpoint").rename(folder)
        shutil.rmtree(aside)
    return folder


def for_gpt_2_simple(checkpoint: Path, cache: Path) -> Path:
    """A folder that gpt-2-simple loads: the checkpoint itself, or one below `cache`.

    Raises CheckpointError where there is no good checkpoint, and BenchError.
    """
    source = open_source(checkpoint)
    if isinstance(source, Checkpoint):
        return checkpoint.resolve()
    folder = cache / f"{source.identity}-gpt-2-simple"
    if not folder.is_dir():
        exporter = str(ROOT / "export_model.py")
        _run(sys.executable, exporter, checkpoint, "--to", "gpt-2-simple", "--out", folder)
    return folder


def export(checkpoint: Path, cache: Path) -> Formats:
    """The checkpoint in the other engines' formats, below `cache` by the checkpoint's identity.

    Raises CheckpointError where there is no good checkpoint, and BenchError.
    """
    source = open_source(checkpoint)
    folder = cache / source.identity
    formats = Formats(
        source.hparams,
        checkpoint.resolve(),
        for_gpt_2_simple(checkpoint, cache),
        folder / "model.gguf",
        folder / "huggingface",
        folder / "ctranslate2",
    )
    if not folder.is_dir():
        aside = _fresh(cache / f"{source.identity}.aside")
        for name, path in (("gguf", formats.gguf), ("hf", formats.huggingface)):
            exporter = str(ROOT / "export_model.py")
            _run(sys.executable, exporter, checkpoint, "--to", name, "--out", aside / path.name)
        _run(
            *(sys.executable, "-m", "ctranslate2.converters.transformers"),
            *("--model", aside / formats.huggingface.name),
            *("--output_dir", aside / formats.ctranslate2.name),
            *("--quantization", "int8"),
        )
        aside.rename(folder)
    return formats


def llama_server(cache: Path) -> Path:
    """llama-server, compiled for this machine from the source that the xllamacpp wheel is made of.

    The wheel itself is compiled for any processor with AVX2 (GGML_NATIVE=OFF). Takes minutes and
    needs the network (PyPI), cmake and a C++ compiler, the first time. Raises BenchError.
    """
    release = version("xllamacpp")
    server = cache / f"llama-server-{release}"
    if not server.exists():
        aside = _fresh(cache / "llama.aside")
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", "xllamacpp"]
        _run(*pip, "--dest", aside, f"xllamacpp=={release}")
        with tarfile.open(next(aside.glob("xllamacpp-*.tar.gz"))) as archive:
            archive.extractall(aside, filter="data")
        source = aside / f"xllamacpp-{release}" / "thirdparty" / "llama.cpp"
        build = aside / "build"
        options = ["CMAKE_BUILD_TYPE=Release", "GGML_NATIVE=ON", "BUILD_SHARED_LIBS=OFF"]
        for name in ("OPENSSL", "BUILD_TESTS", "BUILD_EXAMPLES", "BUILD_APP", "USE_PREBUILT_UI"):
            options.append(f"LLAMA_{name}=OFF")  # needs more packages, or more time
        _run("cmake", "-S", source, "-B", build, *(f"-D{option}" for option in options))
        _run("cmake", "--build", build, "--target", "llama-server", "-j", str(os.cpu_count()))
        (build / "bin" / "llama-server").rename(server)
        shutil.rmtree(aside)
    return server


def limits(cache: Path) -> Path:
    """The program of `limits.c`. Raises BenchError."""
    program = cache / "limits"
    source = Path(__file__).with_name("limits.c")
    cache.mkdir(parents=True, exist_ok=True)
    options = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O3", "-march=native", "-pthread"]
    _run(os.environ.get("CC", "cc"), *options, source, "-o", program)
    return program


def _write_vocabulary(folder: Path, size: int) -> None:
    """A byte-level BPE of `size` tokens: the bytes, pairs of bytes, end-of-text."""
    characters = sorted(bytes_to_unicode().values())
    pairs = list(islice(product(characters, characters), size - len(characters) - 1))
    tokens = [*characters, *map("".join, pairs), END_OF_TEXT]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    (folder / "encoder.json").write_text(json.dumps(vocabulary))
    merges = "".join(" ".join(pair) + "\n" for pair in pairs)
    (folder / "vocab.bpe").write_text("#version: 0.2\n" + merges, encoding="utf-8")


def _fresh(folder: Path) -> Path:
    """An empty folder, where a run that was interrupted may have left something."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _run(*command: str | Path) -> None:
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        raise BenchError(f"{command[0]}: {error.strerror}") from None
    if result.returncode != 0:
        said = (result.stderr.strip() or result.stdout.strip() or "nothing").splitlines()[-1]
        raise BenchError(f"{' '.join(map(str, command[:4]))} ...: {said}")
